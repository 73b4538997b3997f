# C functions only: see neighbor.pxd.
