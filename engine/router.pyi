# C functions only: see router.pxd.
