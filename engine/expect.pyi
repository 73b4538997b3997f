# C functions only: see expect.pxd.
