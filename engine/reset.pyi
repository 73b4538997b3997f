# C functions only: see reset.pxd.
