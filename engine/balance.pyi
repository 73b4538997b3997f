# C functions only: see balance.pxd.
