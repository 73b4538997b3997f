# C functions only: see advert.pxd.
