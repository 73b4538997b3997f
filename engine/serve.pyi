# C functions only: see serve.pxd.
