# C functions only: see lease.pxd.
