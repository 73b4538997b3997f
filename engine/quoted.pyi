# C functions only: see quoted.pxd.
