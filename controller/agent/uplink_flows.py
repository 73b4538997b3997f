"""What passes between an uplink and its FRR without being simulated: ARP, ND, BGP and BFD.

1. FRR has the uplink port's own MAC and addresses; what FRR says goes out as it is.
2. What tells a neighbor's MAC goes to FRR and to the controller: both must know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from onehop.controller.agent.desired import StaticFlow, Uplink

PRIORITY = 200  # above the flows that simulation yields
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
REQUEST, REPLY = 1, 2
TCP, UDP, ICMPV6 = 6, 17, 58
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861, section 4
BGP = 179
BFD = (3784, 3785)  # control, echo: RFC 5881, section 4
Fields = dict[str, int | str]
Actions = tuple[tuple[str] | tuple[str, int], ...]


def static_flows(uplink: Uplink, uplink_ofport: int, frr_ofport: int) -> list[StaticFlow]:
    """The flows between OpenFlow port `uplink_ofport` and its FRR at `frr_ofport`."""
    frr: Actions = (("output", frr_ofport),)
    both: Actions = (*frr, ("controller",))
    flows = [_flow({"in_port": frr_ofport}, (("output", uplink_ofport),))]
    for actions, fields in ((frr, _to_frr(uplink)), (both, _to_both(uplink))):
        flows += [_flow({"in_port": uplink_ofport, **field}, actions) for field in fields]
    return flows


def _to_frr(uplink: Uplink) -> Iterator[Fields]:
    for address in _own(uplink, 4):
        yield {"eth_type": ARP, "arp_op": REQUEST, "arp_tpa": address}
        yield from _sessions({"eth_type": IPV4, "ipv4_dst": address})
    for address in _own(uplink, 6):
        yield from _sessions({"eth_type": IPV6, "ipv6_dst": address})
        yield _nd(SOLICITATION, nd_target=address)


def _to_both(uplink: Uplink) -> Iterator[Fields]:
    for address in _own(uplink, 4):
        yield {"eth_type": ARP, "arp_op": REPLY, "arp_tpa": address}
    for address in _own(uplink, 6):
        yield _nd(ADVERTISEMENT, ipv6_dst=address)
    for peer in (ip_address(peer.address) for peer in uplink.peers):  # speaking of itself
        if peer.version == 4:
            yield {"eth_type": ARP, "arp_tpa": str(peer)}
        else:
            yield _nd(ADVERTISEMENT, nd_target=str(peer))


def _sessions(fields: Fields) -> Iterator[Fields]:
    yield {**fields, "ip_proto": TCP, "tcp_src": BGP}
    yield {**fields, "ip_proto": TCP, "tcp_dst": BGP}
    for port in BFD:
        yield {**fields, "ip_proto": UDP, "udp_dst": port}


def _nd(kind: int, **fields: str) -> Fields:
    return {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind, **fields}


def _own(uplink: Uplink, version: int) -> list[str]:
    """The uplink's addresses; with those of IPv6 the one that the kernel makes of its MAC."""
    addresses = [ip_interface(address).ip for address in uplink.addresses]
    own = [str(address) for address in addresses if address.version == version]
    return [*own, link_local(uplink.mac)] if own and version == 6 else own


def link_local(mac: str) -> str:
    """The address of a MAC on its link (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ip_address(b"\xfe\x80" + bytes(6) + identifier))


def _flow(match: Fields, actions: Actions) -> StaticFlow:
    return StaticFlow(priority=PRIORITY, match=tuple(match.items()), actions=actions)
