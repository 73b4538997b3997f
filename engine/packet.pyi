from collections.abc import Iterable, Mapping

MALFORMED: tuple[str, ...]  # why bytes are no packet; [0] is ""

def parse_key(data: bytes) -> dict[str, int | str]:
    """The header fields that the packet has, by their names in `fields`.

    MACs and addresses are text, the rest integers; absent fields are absent.
    Raises ValueError with a text of MALFORMED.
    """

def rewrite(data: bytes, actions: Iterable[Mapping[str, object]]) -> bytes:
    """The packet after `actions`: {"action": NAME, "value": VALUE}, in this order.

    set_eth_src, set_eth_dst, set_vlan (the TCI), pop_vlan, dec_ttl, set_ip_src, set_ip_dst,
    set_tp_src, set_tp_dst; output and flood change nothing.
    Raises ValueError for a malformed packet or an unknown action.
    """

def checksums_ok(data: bytes) -> bool:
    """Whether every checksum that the packet carries is right (RFC 1071; SCTP: CRC-32c)."""
