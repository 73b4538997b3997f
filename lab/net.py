"""Realise a plan with Mininet: nodes, wires, shaping; no switch or daemon runs yet.

    underlay   a kernel bridge `switch`; device NAME leads to host NAME
    isp        for each gateway a kernel bridge of two devices: NAME-in faces the gateway,
               NAME-out the outside; both shape what they send, so no switch can undo it
    outside    device NAME leads to gateway NAME; the kernel bridge `lan` to the clients

1. Nothing is made in the root namespace; a node's namespaces end with its first process.
2. Hosts, wires and the underlay speak no IPv6 of the kernel's own: what crosses the underlay is
   what a machine sent, or onehop.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from ipaddress import ip_interface

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node as MininetNode

from onehop.lab import dhcp
from onehop.lab.hosts import UNDERLAY_DEVICE
from onehop.lab.nodes import Node
from onehop.lab.processes import started
from onehop.lab.state import LabError, NodeState, Options, Role
from onehop.lab.topo import LAN, Machine, Plan, Uplink, count
from onehop.lab.wires import Wire

QUIET = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
STILL = "sysctl -qw net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0"
ROUTING = """
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1
""" + "\n".join(  # a next hop without carrier is left out at once, before FRR has noticed
    f"sysctl -qw net.{family}.conf.{which}.ignore_routes_with_linkdown=1"
    for family in ("ipv4", "ipv6")
    for which in ("all", "default")
)
UNDERLAY_MORE = 100  # of MTU: VXLAN over IPv4 takes 50, over IPv6 70
SHAPER_LATENCY_MS = 20


class Net:
    """The Mininet network of one lab."""

    def __init__(self, options: Options, directory: pathlib.Path) -> None:
        setLogLevel("warning")
        Mininet.inited = True  # or it would raise limits of this whole machine, for good
        self.options, self.directory = options, directory
        self.mininet = Mininet(build=False, controller=None)
        self.states: dict[str, NodeState] = {}

    def build(self, plan: Plan, progress: Callable[[str], None] = lambda name: None) -> None:
        """Make everything in `plan` that is not there yet."""
        self._fixed(plan, progress)
        for host in plan.hosts:
            if host not in self.states:
                self._host(host, plan, progress)
        for uplink in plan.uplinks:
            if not self._linked("isp", f"{uplink.host}-in"):
                self._uplink(uplink)
        for machine in plan.machines:
            if machine.name not in self.states:
                self._machine(machine, progress)

    def remove(self, host: str) -> None:
        """Take a host's wires out and end it."""
        self._script("underlay", [f"ip link delete {host}"])
        if self._linked("isp", f"{host}-wire"):
            wires = [f"ip link delete {host}-{part}" for part in ("in", "out", "wire")]
            self._script("isp", wires)
        node = self.mininet.getNodeByName(host)
        node.terminate()
        self.mininet.hosts.remove(node)
        del self.mininet.nameToNode[host]
        shutil.rmtree(self.states.pop(host).directory, ignore_errors=True)

    def stop(self) -> None:
        for node in self.mininet.hosts:
            node.terminate()

    def _fixed(self, plan: Plan, progress: Callable[[str], None]) -> None:
        if "underlay" in self.states:
            return
        self._node("underlay", "underlay", progress, script=[QUIET, *bridge("switch", self._mtu)])
        self._node("isp", "isp", progress, script=[QUIET])
        lan = [STILL, ROUTING, *bridge("lan", self.options.mtu), *addresses("lan", LAN)]
        self._node("outside", "outside", progress, addresses=LAN, interface="lan", script=lan)
        for number in count(plan.clients):
            self._client(number, progress)

    def _client(self, number: int, progress: Callable[[str], None]) -> None:
        name = f"client{number}"
        own = tuple(
            str(
                ip_interface(
                    f"{ip_interface(a).ip + 10 + number - 1}/{ip_interface(a).network.prefixlen}"
                )
            )
            for a in LAN
        )
        self._node(name, "client", progress, addresses=own, interface="eth0", script=[STILL])
        self._link(name, "eth0", "outside", name)
        self._script("outside", plug("lan", name, self.options.mtu))
        routers = [str(ip_interface(a).ip) for a in LAN]
        self._script(name, end("eth0", self.options.mtu, own, routers))

    def _host(self, name: str, plan: Plan, progress: Callable[[str], None]) -> None:
        role: Role = "gateway" if plan.is_gateway(name) else "compute"
        own = {"addresses": (plan.hosts[name],), "interface": UNDERLAY_DEVICE}
        directory = self.directory / name
        private = [
            ("/run/openvswitch", str(directory / "ovs")),
            ("/run/onehop", str(directory / "run")),
            "/run/netns",
        ]
        self._node(name, role, progress, script=[QUIET], private=private, **own)  # type: ignore[arg-type]
        self._link(name, UNDERLAY_DEVICE, "underlay", name)
        self._script("underlay", plug("switch", name, self._mtu))
        self._script(name, up(UNDERLAY_DEVICE, self._mtu))

    def _uplink(self, uplink: Uplink) -> None:
        name, mtu = uplink.host, self.options.mtu
        inner, outer = f"{name}-in", f"{name}-out"
        self._link(name, uplink.device, "isp", inner)
        self._link("outside", name, "isp", outer)
        wire = bridge(f"{name}-wire", mtu)
        for device in (inner, outer):
            wire += plug(f"{name}-wire", device, mtu) + shape(device, self.options.uplink_mbit)
        self._script("isp", wire)
        self._script(name, up(uplink.device, mtu))
        self._script("outside", end(name, mtu, uplink.outside, []) + whole(name))

    def _machine(self, machine: Machine, progress: Callable[[str], None]) -> None:
        self._node(
            machine.name,
            "machine",
            progress,
            addresses=machine.addresses,
            interface="eth0",
            host=machine.host,
            script=[STILL],
        )
        self._link(machine.name, "eth0", machine.host, machine.device, machine.mac)
        stated = tuple(a for a in machine.addresses if version(a) not in machine.leases)
        routers = tuple(r for r in machine.gateways if version(r) not in machine.leases)
        own = dhcp.prepare("eth0") if machine.leases else []
        own += ["ip link set eth0 up"] if 4 in machine.leases else up("eth0", self.options.mtu)
        own += [*addresses("eth0", stated), *default("eth0", routers)]
        self._script(machine.name, own + whole("eth0"))
        self._script(machine.host, up(machine.device, self.options.mtu))

    @property
    def _mtu(self) -> int:
        return self.options.mtu + UNDERLAY_MORE

    def _node(
        self,
        name: str,
        role: Role,
        progress: Callable[[str], None],
        *,
        script: list[str],
        addresses: tuple[str, ...] = (),
        interface: str = "",
        host: str = "",
        private: list[tuple[str, str] | str] | None = None,
    ) -> None:
        directory = self.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        node = self.mininet.addHost(name, cls=MininetNode, ip=None, privateDirs=private or [])
        self.states[name] = NodeState(
            name=name,
            role=role,
            pid=node.pid,
            started=started(node.pid) or 0,
            directory=str(directory),
            interface=interface,
            addresses=addresses,
            host=host,
        )
        self._script(name, ["ip link set lo up", *script])
        progress(name)

    def _linked(self, node: str, device: str) -> bool:
        return device in Node(self.states[node]).counters()

    def _link(self, one: str, device: str, other: str, far: str, mac: str | None = None) -> None:
        ends = [self.mininet.getNodeByName(name) for name in (one, other)]
        try:
            self.mininet.addLink(*ends, cls=Wire, intfName1=device, intfName2=far)
        except Exception as error:  # Mininet raises no narrower kind
            raise LabError(f"link {one} {device} - {other} {far}: {error}") from error
        if mac:
            # Down, so that the kernel's link-local address follows from this MAC.
            self._script(one, [f"ip link set {device} down address {mac}"])

    def _script(self, node: str, lines: list[str]) -> None:
        Node(self.states[node]).sh("\n".join(lines))


def bridge(name: str, mtu: int) -> list[str]:
    return [
        f"ip link add name {name} type bridge stp_state 0 mcast_snooping 0",
        f"ip link set {name} mtu {mtu} up",
    ]


def plug(bridge: str, device: str, mtu: int) -> list[str]:
    return [f"ip link set {device} mtu {mtu} master {bridge} up"]


def up(device: str, mtu: int) -> list[str]:
    return [f"ip link set {device} mtu {mtu} up"]


def end(
    device: str, mtu: int, own: tuple[str, ...], routers: list[str] | tuple[str, ...]
) -> list[str]:
    """An interface of a node that speaks IP by itself."""
    return up(device, mtu) + addresses(device, own) + default(device, routers)


def default(device: str, routers: list[str] | tuple[str, ...]) -> list[str]:
    return [f"ip {family(r)} route replace default via {r} dev {device}" for r in routers]


def addresses(device: str, own: tuple[str, ...]) -> list[str]:
    return [
        f"ip address add {address} dev {device} {'nodad' if ':' in address else ''}"
        for address in own
    ]


def family(address: str) -> str:
    return f"-{version(address)}"


def version(address: str) -> int:
    return 6 if ":" in address else 4


def whole(device: str) -> list[str]:
    """Send complete packets: a switch in userspace can finish no checksum and split nothing."""
    return [f"ethtool -K {device} tx off gso off tso off > /dev/null"]


def shape(device: str, mbit: int) -> list[str]:
    burst = max(64_000, mbit * 1_000_000 // 8 // 200)  # 5 ms: more than a tick of any kernel
    limit = f"latency {SHAPER_LATENCY_MS}ms"
    return [f"tc qdisc replace dev {device} root tbf rate {mbit}mbit burst {burst} {limit}"]
