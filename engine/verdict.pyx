"""What the walk answers for one packet: the reasons in words."""

REASONS = (
    "",
    "port is down",
    "bad source address",
    "destination is where it came from",
    "nobody to flood to",
    "loop",
    "not for the router",
    "tagged at a router port",
    "not IP",
    "unroutable address",
    "subnet broadcast",
    "blackhole route",
    "reject route",
    "no route",
    "TTL exceeded",
    "neighbor unknown",
    "neighbor unreachable",
    "ARP or neighbor discovery",
    "for the router itself",
    "too many actions",
)
