"""Addresses and prefixes as text -> bytes; errors are those of `ipaddress`."""

def packed(text: str) -> bytes:
    """An address."""

def interface(text: str) -> tuple[bytes, int]:
    """An address with the length of its prefix; whole without one."""

def prefix(text: str) -> tuple[bytes, int]:
    """A prefix: no bit is set behind its length."""

def masked(ip: bytes, bits: int) -> bytes:
    """Only the first bits of an address."""

def written(ip: bytes) -> str:
    """An address as text."""
