# C functions only: see floating.pxd.
