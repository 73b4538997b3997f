# Python's only: see maglev.pyi.
