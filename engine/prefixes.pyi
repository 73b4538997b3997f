# Not for Python: see prefixes.pxd.
