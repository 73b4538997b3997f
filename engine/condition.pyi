# C functions only: see condition.pxd.
