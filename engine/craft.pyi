ERRORS: tuple[str, ...]  # names of the errors, in the order of IcmpError

def ask(src_mac: str, src_ip: str, target_ip: str, *, vlan_tci: int = 0) -> bytes:
    """The ARP request or neighbor solicitation for `target_ip`."""

def answer(data: bytes, mac: str, *, is_router: bool = False) -> bytes | None:
    """The answer to an ARP request, neighbor solicitation or echo request; None: it is none."""

def error_about(
    data: bytes, error: str, *, src_ip: str, src_mac: str, dst_mac: str, mtu: int = 0
) -> bytes | None:
    """The ICMP or ICMPv6 error about a packet; None where none may be sent about it."""
