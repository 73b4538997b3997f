def hash_names(*names: str) -> int:
    """64 bits that are the same on every host."""
