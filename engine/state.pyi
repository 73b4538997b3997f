# C functions only: see state.pxd; as Python sees the table: states.pyi.
