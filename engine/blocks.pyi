# C functions only: see blocks.pxd.
