# C functions only: see bridge.pxd.
