# C functions only: see early.pxd.
