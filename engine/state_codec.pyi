# C functions only: see state_codec.pxd.
