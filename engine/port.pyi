# C functions only: see port.pxd.
