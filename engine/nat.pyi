# C functions only: see nat.pxd.
