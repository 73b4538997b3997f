# C functions only: see keep.pxd.
