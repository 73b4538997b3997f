# C functions only: see polling.pxd.
