# Not for Python: see policies.pxd.
