# C functions only: see headers.pxd.
