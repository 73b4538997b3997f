"""No names for Python: see the .pxd."""
