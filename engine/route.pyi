# C functions only: see route.pxd.
