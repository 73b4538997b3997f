# C functions only: see layout.pxd.
