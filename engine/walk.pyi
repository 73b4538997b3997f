# C functions only: see walk.pxd.
