# C functions only: see guard.pxd.
