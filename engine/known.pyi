# C functions only: see known.pxd.
