# Not for Python: see services.pxd.
