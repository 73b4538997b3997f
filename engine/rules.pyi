# C functions only: see rules.pxd.
