def reset(data: bytes, mac: str) -> bytes | None: ...  # the reset that answers it, sent from mac
