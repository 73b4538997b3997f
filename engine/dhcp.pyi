# C functions only: see dhcp.pxd.
