# C functions only: see dhcp6.pxd.
