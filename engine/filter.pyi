# C functions only: see filter.pxd.
