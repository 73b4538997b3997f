"""OVN in the agent's place: the same switch, machines and rules, as near as OVN has them.

```
  northbound ── ovn-northd ── southbound ── ovn-controller ── br-int of the Bed

  vm1…vm8 ── net ── tenant ··· Geneve ··· chassis "gateway": SNAT ── provider
         ACLs, port security              an underlay address, where nobody is
```
1. OVN translates at one gateway, not at the edge: the tenant's way out is bound to a chassis, to
   which each packet goes in one hop, not yet translated.
2. That chassis is a row of the southbound database and no more: a compute host tunnels to whom the
   database names, and what is measured ends on the underlay.  So no second ovn-controller runs.
3. Flows for every port are there before any packet.  A first packet is at most two upcalls inside
   ovs-vswitchd, before conntrack and after; most find the datapath's flow of an earlier one.
4. All ends with `answering`: the processes in the host's namespace, the files in one folder; the
   switch is given back as it was.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

import frames
import testbed
import workloads
from networks import echo, udp
from testbed import Bed

from onehop.controller.agent import namespaces
from onehop.engine import model

Command = tuple[str, ...]
TOOLS = ("ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl")
SCHEMAS = Path("/usr/share/ovn")
DATABASES = ("nb", "sb")
GATEWAY, GATEWAY_ADDRESS, OWN_ADDRESS = "gateway", testbed.GATEWAYS[0], "172.31.0.1"
GENEVE_PORT, OPTION = 6081, 0x0102  # OVN's class of Geneve options
HEADERS = 14 + 20 + 8 + 16  # Ethernet, IP, UDP, Geneve with OVN's option
OUTSIDE = "198.51.100.250"
END_S = 10.0
# Of a rule's direction: the ACL's, the member's port there, the remote's side of the packet.
SIDES = {"ingress": ("to-lport", "outport", "src"), "egress": ("from-lport", "inport", "dst")}


def is_possible() -> bool:
    """Whether Debian's ovn-central and ovn-host are here."""
    return all(map(shutil.which, TOOLS)) and SCHEMAS.exists()


@contextlib.contextmanager
def answering(bed: Bed) -> Iterator[None]:
    """OVN at the Bed's switch, its flows installed, its tunnel warm."""
    with contextlib.ExitStack() as stack:
        ovn = Ovn(bed, stack)
        ovn.northbound(*network())
        ovn.bind_gateway()
        stack.enter_context(handed_over(bed, ovn.remote("sb")))
        ovn.control()
        bed.answered()
        ovn.check()
        yield


class Ovn:
    """The processes; each ends before what it stands on."""

    def __init__(self, bed: Bed, stack: contextlib.ExitStack) -> None:
        self._bed, self._stack = bed, stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oh-ovn-")))
        # ovn-controller looks for the bridge's socket beside its own.
        (self._folder / "br-int.mgmt").symlink_to(bed.ovs.folder / "br-int.mgmt")
        self._far = stack.enter_context(far_end(bed))
        for side in DATABASES:
            self._database(side)
        self._start("ovn-northd", *(f"--ovn{side}-db={self.remote(side)}" for side in DATABASES))

    def remote(self, side: str) -> str:
        return f"unix:{self._folder}/{side}.sock"

    def northbound(self, *words: str) -> str:
        return namespaces.run("ovn-nbctl", "--timeout=8", f"--db={self.remote('nb')}", *words)

    def southbound(self, *words: str) -> str:
        return namespaces.run("ovn-sbctl", "--timeout=8", f"--db={self.remote('sb')}", *words)

    def bind_gateway(self) -> None:
        """What the gateway's own ovn-controller would write."""
        self.northbound("--wait=sb", "sync")
        self.southbound(
            "chassis-add", GATEWAY, "geneve", GATEWAY_ADDRESS,
            "--", "lsp-bind", "cr-tenant-provider", GATEWAY,
        )  # fmt: skip

    def control(self) -> None:
        """Start ovn-controller, until all that it is told is in the switch."""
        self._start("ovn-controller", self._bed.ovs.remote)
        for port in local():
            self.northbound("wait-until", "logical_switch_port", port.name, "up=true")
        self.northbound("--wait=hv", "sync")

    def check(self) -> None:
        """What leaves is tunnelled to the gateway; what comes is an answer, or is allowed."""
        vm, net = workloads.address(0, 1), (workloads.mac(1), router_port("tenant-net")[0])
        asked = frames.ip_frame(*net[::-1], udp(vm, OUTSIDE, sport=50_000)).encode()
        assert self._sent(asked)[26:34] == asked[26:34], "translated before the gateway"
        answer = udp(OUTSIDE, vm, sport=53, dport=50_000)
        unasked = udp(OUTSIDE, vm, sport=53, dport=50_001)
        for packet, passes in ((unasked, False), (answer, True), (echo(OUTSIDE, vm), True)):
            frame = frames.ip_frame(*net, packet).encode()
            assert self._is_delivered(frame) == passes, "the security groups are not in force"

    def _sent(self, frame: bytes) -> bytes:
        """What comes out of the tunnel when the first machine sends this."""
        with testbed.listening(self._bed.underlay) as sink:
            self._bed.send([(1, frame)], 1e9)
            while (found := sink.recv(2048))[-10:] != frame[-10:]:
                pass
        outer = ip_address(GATEWAY_ADDRESS).packed, GENEVE_PORT.to_bytes(2, "big")
        assert (found[30:34], found[36:38]) == outer, "not tunnelled"
        return found[HEADERS:]

    def _is_delivered(self, frame: bytes) -> bool:
        """Whether the first machine gets what the gateway sends."""
        with testbed.listening(self._bed.machines, "vm1") as sink:
            sink.settimeout(testbed.QUIET_S)
            self._far.sendto(self._header() + frame, (OWN_ADDRESS, GENEVE_PORT))
            with contextlib.suppress(TimeoutError):
                while sink.recv(2048) != frame:
                    pass
                return True
        return False

    def _header(self) -> bytes:
        """Geneve (RFC 8926) with the logical switch, the router's port and the machine's."""
        one = ("--bare", "--columns=tunnel_key", "find")
        switch, *ports = (int(self.southbound(*one, *where)) for where in (
            ("datapath_binding", "external_ids:name=net"),
            ("port_binding", "logical_port=net-tenant"), ("port_binding", "logical_port=vm1"),
        ))  # fmt: skip
        option = struct.pack("!HBBHH", OPTION, 0x80, 1, *ports)
        return struct.pack("!BBHI", len(option) // 4, 0x40, 0x6558, switch << 8) + option

    def _database(self, side: str) -> None:
        file = str(self._folder / f"{side}.db")
        namespaces.run("ovsdb-tool", "create", file, str(SCHEMAS / f"ovn-{side}.ovsschema"))
        self._start("ovsdb-server", file, f"--remote=p{self.remote(side)}", name=side)

    def _start(self, program: str, *arguments: str, name: str = "") -> None:
        pidfile = self._folder / f"{name or program}.pid"
        folders = (f"{system}_RUNDIR={self._folder}" for system in ("OVS", "OVN"))
        command = ("env", *folders, program, *arguments, f"--pidfile={pidfile}", "--detach")
        namespaces.within(self._bed.host.name, *command)
        self._stack.callback(end, program, pidfile)


def end(program: str, pidfile: Path) -> None:
    """Have a daemon leave in good order, and wait until it has."""
    pid = int(pidfile.read_text())
    process = os.pidfd_open(pid)
    try:
        namespaces.run("ovs-appctl", "-t", f"{pidfile.parent}/{program}.{pid}.ctl", "exit")
        assert select.select([process], [], [], END_S)[0], f"{program} does not end"
    finally:
        os.close(process)


@contextlib.contextmanager
def far_end(bed: Bed) -> Iterator[socket.socket]:
    """The gateway's end of the tunnel: what comes is left, and answered with no error."""
    with namespaces.entered(bed.underlay.name):
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with far:
        far.bind((GATEWAY_ADDRESS, GENEVE_PORT))
        yield far


@contextlib.contextmanager
def handed_over(bed: Bed, southbound: str) -> Iterator[None]:
    """The switch says whose it is, and which machine is at which port."""
    about = {"system-id": "h1", "ovn-remote": southbound, "ovn-bridge": "br-int",
             "ovn-encap-type": "geneve", "ovn-encap-ip": OWN_ADDRESS}  # fmt: skip
    whose = [f'external_ids:{key}="{value}"' for key, value in about.items()]
    names = [port.name for port in local()]
    # ovn-controller speaks OpenFlow 1.5, and no other.
    bed.ovs.vsctl(
        "set", "bridge", "br-int", "protocols=OpenFlow13,OpenFlow15",
        "--", "set", "open_vswitch", ".", *whose,
        *joined(("set", "interface", name, f"external_ids:iface-id={name}") for name in names),
    )  # fmt: skip
    try:
        yield
    finally:
        told = [("open_vswitch", "."), ("bridge", "br-int"), *(("interface", n) for n in names)]
        bed.ovs.vsctl("set", "bridge", "br-int", "protocols=OpenFlow13",
                      *joined(("clear", *row, "external_ids") for row in told))  # fmt: skip
        for command in ("del-flows", "del-groups", "del-tlv-map"):
            bed.ovs.ofctl(command, "br-int")
        bed.ovs.appctl("dpctl/flush-conntrack")


def machines() -> list[model.Port]:
    rows = workloads.stateful(workloads.MACHINES)
    return [row for row in rows if isinstance(row, model.Port) and row.security_groups]


def local() -> list[model.Port]:
    """Those of this host."""
    return [port for port in machines() if port.host == "h1"]


def network() -> list[str]:
    """`workloads.stateful` in the words of ovn-nbctl."""
    return list(joined((*bridge(), *router(), *groups())))


def joined(commands: Iterable[Command]) -> Iterator[str]:
    return (word for command in commands for word in ("--", *command))


def bridge() -> Iterator[Command]:
    yield "ls-add", "net"
    for port in machines():
        address = f"{port.mac} {port.addresses[0].partition('/')[0]}"
        yield "lsp-add", "net", port.name
        yield "lsp-set-addresses", port.name, address
        yield "lsp-set-port-security", port.name, address


def router() -> Iterator[Command]:
    """The tenant's; where the provider's router was is a network that the gateway is on."""
    yield "lr-add", "tenant"
    yield from attached("net")
    yield "ls-add", "provider"
    yield from attached("provider")
    yield "lsp-add", "provider", "wire"
    yield "lsp-set-type", "wire", "localnet"
    yield "lsp-set-addresses", "wire", "unknown"
    yield "lsp-set-options", "wire", "network_name=outside"
    yield "lrp-set-gateway-chassis", "tenant-provider", GATEWAY
    mac, address = router_port("provider-tenant")
    next_hop = address.partition("/")[0]
    yield "static-mac-binding-add", "tenant-provider", next_hop, mac
    yield "lr-route-add", "tenant", "0.0.0.0/0", next_hop, "tenant-provider"
    yield "lr-nat-add", "tenant", "snat", workloads.PUBLIC, "10.0.0.0/16"


def attached(switch: str) -> Iterator[Command]:
    """The router's port at a switch: tenant-<switch>."""
    name, peer = f"tenant-{switch}", f"{switch}-tenant"
    yield "lrp-add", "tenant", name, *router_port(name)
    yield "lsp-add", switch, peer
    yield "lsp-set-type", peer, "router"
    yield "lsp-set-addresses", peer, "router"
    yield "lsp-set-options", peer, f"router-port={name}"


def router_port(name: str) -> tuple[str, str]:
    """Its MAC and address in onehop's network."""
    rows = workloads.keyed(workloads.stateful(workloads.MACHINES))
    (port,) = (row for row in rows if isinstance(row, model.Port) and row.name == name)
    return model.router_mac(port), port.addresses[0]


def groups() -> Iterator[Command]:
    """Security groups as port groups with ACLs; what no rule allows is dropped, both ways."""
    for group in workloads.groups():
        members = [port.name for port in machines() if group.name in port.security_groups]
        yield "pg-add", group.name, *members
        acl = "acl-add", group.name
        for rule in group.rules:
            direction, port, _ = SIDES[rule.direction]
            match = f"{port} == @{group.name} && {allowed(rule)}"
            yield *acl, direction, "1002", match, "allow-related"
        for direction, port, _ in SIDES.values():
            yield *acl, direction, "1001", f"{port} == @{group.name} && ip", "drop"


def allowed(rule: model.SecurityRule) -> str:
    """What a rule lets pass, as an ACL's match."""
    if rule.remote_group:
        return f"ip4.{SIDES[rule.direction][2]} == ${rule.remote_group}_ip4"
    if rule.ports:
        return f"{rule.protocol}.dst == {rule.ports}"
    return rule.protocol or "ip"
