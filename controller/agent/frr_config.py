"""What FRR is told: the configuration of an uplink's daemons as data, and the way between two.

1. Equal uplinks give equal configurations, and a configuration needs no memory of others.
2. Withdrawing is a configuration without networks: the sessions stay, and so do learned routes.
3. Draining is to announce with the community of a graceful shutdown (RFC 8326): upstream routers
   go on using it only while they know no other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_interface, ip_network

from onehop.controller.agent.desired import Uplink

Block = tuple[str, ...]  # the commands that lead to a block: ("router bgp 65010",)
Blocks = Mapping[Block, tuple[str, ...]]  # a daemon's lines, block by block, in this order
Config = Mapping[str, Blocks]  # by daemon
Line = tuple[Block, str]

# Taking these back first would end a session, or forget a neighbor with all its lines.
REPLACED = ("remote-as", "router-id")

ZEBRA: Blocks = {(): ("no ip forwarding", "no ipv6 forwarding", "no zebra nexthop kernel enable")}
BFDD: Blocks = {
    ("bfd", "profile onehop"): (
        "detect-multiplier 3",
        "receive-interval 100",
        "transmit-interval 100",
    )
}


def config(uplink: Uplink, *, announcing: bool) -> Config:
    """What the daemons of an uplink should be told."""
    return {"zebra": ZEBRA, "bfdd": BFDD, "bgpd": dict(_bgpd(uplink, announcing=announcing))}


def announces(config: Config) -> bool:
    """Whether daemons so configured announce any network."""
    lines = (line for block in config.get("bgpd", {}).values() for line in block)
    return any(line.startswith("network ") for line in lines)


def _bgpd(uplink: Uplink, *, announcing: bool) -> Iterator[tuple[Block, tuple[str, ...]]]:
    router = f"router bgp {uplink.asn}"
    # Only what starts here goes out: a gateway is no transit between two upstream routers.
    yield (), ("bgp as-path access-list onehop-own seq 5 permit ^$",)
    # A link-local next hop means nothing outside this namespace.
    yield ("route-map onehop-in permit 10",), ("set ipv6 next-hop prefer-global",)
    yield (
        (router,),
        (
            f"bgp router-id {_router_id(uplink)}",
            "no bgp ebgp-requires-policy",
            "no bgp network import-check",
            "no bgp default ipv4-unicast",
            "bgp bestpath as-path multipath-relax",
            # Ahead of the neighbors, so that not even the first word to one is without it.
            *(("bgp graceful-shutdown",) if uplink.draining else ()),
            *(line for peer in uplink.peers for line in _neighbor(peer.address, peer.asn)),
        ),
    )
    for version in (4, 6):
        lines = tuple(_family(uplink, version, announcing=announcing))
        yield (router, f"address-family ipv{version} unicast"), lines


def _neighbor(address: str, asn: int) -> Iterator[str]:
    yield f"neighbor {address} remote-as {asn}"
    yield f"neighbor {address} timers 1 3"
    yield f"neighbor {address} timers connect 1"
    yield f"neighbor {address} bfd profile onehop"


def _family(uplink: Uplink, version: int, *, announcing: bool) -> Iterator[str]:
    for peer in uplink.peers:
        if ip_address(peer.address).version == version:
            yield f"neighbor {peer.address} activate"
            yield f"neighbor {peer.address} filter-list onehop-own out"
            if version == 6:
                yield f"neighbor {peer.address} route-map onehop-in in"
    for network in uplink.networks if announcing else ():
        if ip_network(network).version == version:
            yield f"network {network}"


def _router_id(uplink: Uplink) -> str:
    """The uplink's IPv4 address, or, where it has none, four octets of its MAC."""
    for address in map(ip_interface, uplink.addresses):
        if address.version == 4:
            return str(address.ip)
    return str(ip_address(bytes.fromhex(uplink.mac.replace(":", ""))[-4:]))


def commands(before: Blocks, after: Blocks) -> tuple[list[Line], list[Line]]:
    """The lines that take a daemon from one configuration to another: those to say off, then on.

    Lines go in the reverse order of their coming, so a neighbor's definition goes last of its own.
    """
    off = list(_off(before, after))[::-1]
    on = [
        (b, line) for b, lines in after.items() for line in lines if line not in before.get(b, ())
    ]
    return off, on


def _off(before: Blocks, after: Blocks) -> Iterator[Line]:
    for block, lines in before.items():
        if block and block[:1] in before and block[:1] not in after:  # with all blocks inside it
            if len(block) == 1:
                yield (), _negated(block[0])
        else:
            kept = after.get(block, ())
            stay = {*kept, *map(_setting, kept)} - {""}
            off = (line for line in lines if line not in stay and _setting(line) not in stay)
            yield from ((block, _negated(line)) for line in off)


def _setting(line: str) -> str:
    """What a line gives a value to, where another value just replaces it; otherwise ""."""
    setting, _, _ = line.rpartition(" ")
    return setting if setting.endswith(REPLACED) else ""


def _negated(line: str) -> str:
    return line.removeprefix("no ") if line.startswith("no ") else f"no {line}"
