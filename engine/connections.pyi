# C functions only: see connections.pxd.
