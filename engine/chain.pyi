# C functions only: see chain.pxd.
