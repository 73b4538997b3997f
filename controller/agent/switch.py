"""The local Open vSwitch: what its database says, driven to what it should say.

1. Nothing waits: ``run`` takes what has arrived and sends what is due; ``wait`` is the only call
   that sleeps, and it is green under eventlet's monkey patching.
2. At most one transaction is under way; each is the whole difference between what is there and
   what should be, so any order of events ends the same.
3. Only what carries this module's mark (``external_ids:onehop-port``) is ever changed or removed;
   other people's ports of the bridge stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from onehop.controller.agent.desired import Desired
from onehop.controller.ovsdb import Idl, Poller, SchemaHelper, Transaction

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"  # from Open vSwitch's own package
COLUMNS = {
    "Open_vSwitch": ["bridges"],
    "Bridge": [
        "name", "ports", "controller", "datapath_type", "fail_mode", "protocols", "other_config",
        "external_ids",
    ],
    "Controller": ["target", "max_backoff", "inactivity_probe", "connection_mode"],
    "Port": ["name", "interfaces", "external_ids"],
    "Interface": [
        "name", "type", "options", "bfd", "bfd_status", "ofport", "link_state", "error",
        "external_ids",
    ],
}  # fmt: skip
MARK = "onehop-port"  # among external_ids: the virtual port behind a port of ours
BACKOFF_MS = (50, 1000)  # of connecting again: the first try, the last
DEVICE_NAME_LENGTH = 15  # Linux: IFNAMSIZ less the final zero
Pairs = tuple[tuple[str, str], ...]
Row = Any  # a row of the database's replica

log = logging.getLogger(__name__)


class SwitchPort(msgspec.Struct, frozen=True):
    """A port that the bridge should have."""

    device: str  # the name of the port and of its interface
    owner: str  # the virtual port behind it; "" for a port of onehop's own
    type: str = ""  # "": a network device; "vxlan": a tunnel
    options: Pairs = ()
    bfd: Pairs = ()
    first_bfd: Pairs = ()  # more of `bfd` for a port that is made now, left alone afterwards


class PortState(msgspec.Struct, frozen=True):
    """What the switch says of a port."""

    device: str
    owner: str
    ofport: int  # its OpenFlow number; 0: none yet, or no more
    link_up: bool
    bfd_up: bool | None  # the far host is there and takes packets; None: no BFD there
    error: str = ""  # why it does not work, in the switch's words


def ports(desired: Desired) -> list[SwitchPort]:
    """The ports for the exterior ports of this host."""
    return [SwitchPort(device=i.device, owner=i.port) for i in desired.interfaces]


def device_name(prefix: str, name: str) -> str:
    """A device's name for `name`: itself where that fits, else a digest of it."""
    fits = len(prefix + name) <= DEVICE_NAME_LENGTH and re.fullmatch(r"[A-Za-z0-9._-]+", name)
    if fits and not re.fullmatch(r"[0-9a-f]{8}", name):
        return prefix + name
    return prefix + hashlib.blake2s(name.encode(), digest_size=4).hexdigest()


class Switch:
    """The integration bridge of this host."""

    def __init__(
        self, remote: str, *, datapath: str, controller: str, bridge: str = "br-int"
    ) -> None:
        """`remote` and `controller` as OVS writes them: "unix:FILE", "tcp:127.0.0.1:6653"."""
        self._idl = _open(remote)
        self._bridge = _Bridge(bridge, datapath, controller)
        self._wanted: dict[str, SwitchPort] | None = None  # None: nobody has said yet
        self._seen: dict[str, PortState] = {}
        self._transaction: Transaction | None = None
        self._checked_seqno = -1  # the state of the database that needs nothing or got it
        self._settled = False

    @property
    def connected(self) -> bool:
        """The database has told us everything it holds."""
        monitoring = self._idl.state == Idl.IDL_S_MONITORING
        return monitoring and bool(self._idl._session.is_connected())

    @property
    def settled(self) -> bool:
        """The database says what it should, and the switch has answered for every port."""
        answered = all(s.ofport or s.error for s in self._seen.values())
        known = self._wanted is not None and self._wanted.keys() == self._seen.keys()
        return self._settled and self.connected and known and answered

    @property
    def ports(self) -> Mapping[str, PortState]:
        """The bridge's ports of ours, by device."""
        return MappingProxyType(self._seen)

    def reconcile(self, ports: Iterable[SwitchPort]) -> None:
        """Make these the bridge's ports; later calls of ``run`` do it."""
        wanted = {port.device: port for port in ports}
        if wanted != self._wanted:
            self._wanted, self._checked_seqno, self._settled = wanted, -1, False

    def run(self) -> list[PortState]:
        """Go on with what is to do; the ports whose state changed (ofport 0: gone)."""
        self._idl.run()
        if not self.connected:
            return []
        if self._finished() and self._wanted is not None:
            self._begin(self._wanted)
        return self._changes()

    def wait(self, timeout_s: float) -> None:
        """Sleep until there is something to do for ``run``, or `timeout_s` is over."""
        poller = Poller()
        self._idl.wait(poller)
        poller.timer_wait(max(1, int(timeout_s * 1000)))
        poller.block()

    def close(self) -> None:
        """Forget the database; what it says stays."""
        self._idl.close()

    def _finished(self) -> bool:
        """Take the end of the transaction under way, if it has come; whether there is none."""
        if self._transaction is None:
            return True
        status = self._transaction.commit()
        if status == Transaction.INCOMPLETE:
            return False
        if status == Transaction.ERROR:
            log.error("the switch's database refused: %s", self._transaction.get_error())
        else:
            self._settled = status in (Transaction.SUCCESS, Transaction.UNCHANGED)
        if status == Transaction.TRY_AGAIN:
            self._checked_seqno = -1
        self._transaction = None
        return True

    def _begin(self, wanted: Mapping[str, SwitchPort]) -> None:
        """Send the difference between what is and what should be, unless that has been done."""
        if self._checked_seqno == self._idl.change_seqno:
            return
        self._checked_seqno = self._idl.change_seqno
        self._transaction = Transaction(self._idl)
        bridge = self._bridge.write(self._idl, self._transaction)
        _write_ports(self._idl, self._transaction, bridge, wanted)
        self._finished()

    def _changes(self) -> list[PortState]:
        bridge = _row(self._idl, "Bridge", self._bridge.name)
        now = {state.device: state for state in _states(bridge)} if bridge else {}
        gone = [
            msgspec.structs.replace(state, ofport=0, link_up=False, bfd_up=None)
            for device, state in self._seen.items()
            if device not in now
        ]
        changed = [state for device, state in now.items() if self._seen.get(device) != state]
        self._seen = now
        return gone + changed


class _Bridge(msgspec.Struct, frozen=True):
    """The bridge itself, as it should be."""

    name: str
    datapath: str
    controller: str

    def write(self, idl: Idl, transaction: Transaction) -> Row:
        row = _row(idl, "Bridge", self.name) or self._insert(idl, transaction)
        _set(row, datapath_type=self.datapath, fail_mode=["secure"], protocols=["OpenFlow13"])
        _set(row, external_ids={**row.external_ids, "onehop": "true"})
        # A hidden in-band flow would let packets past the rules of this bridge.
        _set(row, other_config={**row.other_config, "disable-in-band": "true"})
        self._write_controller(row, idl, transaction)
        return row

    def _insert(self, idl: Idl, transaction: Transaction) -> Row:
        row = transaction.insert(idl.tables["Bridge"])
        row.name, row.external_ids, row.other_config = self.name, {}, {}
        row.ports, row.controller = [_new_port(idl, transaction, self.name, "internal")], []
        _root(idl, transaction).addvalue("bridges", row)
        return row

    def _write_controller(self, bridge: Row, idl: Idl, transaction: Transaction) -> None:
        found = [row for row in bridge.controller if row.target == self.controller]
        row = found[0] if found else transaction.insert(idl.tables["Controller"])
        _set(row, target=self.controller, connection_mode=["out-of-band"])
        # An agent that starts again is found within a second; one that hangs loses the
        # connection, but its flows stay (fail_mode=secure).
        _set(row, max_backoff=[1000], inactivity_probe=[10_000])
        _set(bridge, controller=[row])


def _write_ports(
    idl: Idl, transaction: Transaction, bridge: Row, wanted: Mapping[str, SwitchPort]
) -> None:
    kept = {row.name: row for row in bridge.ports if not _is_ours(row) or row.name in wanted}
    for device, port in wanted.items():
        elsewhere = device not in kept and _row(idl, "Interface", device)
        if elsewhere and not _is_ours(elsewhere):
            log.error("%s: already plugged into another bridge", device)
            continue
        if device not in kept:
            kept[device] = _new_port(idl, transaction, device, port.type)
            kept[device].interfaces[0].bfd = dict(port.first_bfd)
        _write_port(kept[device], port)
    _set(bridge, ports=list(kept.values()))


def _write_port(row: Row, port: SwitchPort) -> None:
    mark = {MARK: port.owner}
    _set(row, external_ids={**row.external_ids, **mark})
    for interface in row.interfaces:
        left = {k: v for k, v in interface.bfd.items() if k in dict(port.first_bfd)}
        bfd = {**left, **dict(port.bfd)}
        _set(interface, type=port.type, options=dict(port.options), bfd=bfd)
        _set(interface, external_ids={**interface.external_ids, **mark})


def _new_port(idl: Idl, transaction: Transaction, name: str, kind: str) -> Row:
    interface = transaction.insert(idl.tables["Interface"])
    interface.name, interface.type, interface.external_ids = name, kind, {}
    port = transaction.insert(idl.tables["Port"])
    port.name, port.interfaces, port.external_ids = name, [interface], {}
    return port


def _states(bridge: Row) -> Iterable[PortState]:
    for port in bridge.ports:
        if _is_ours(port):
            for interface in port.interfaces:
                yield _state(interface)


def _state(interface: Row) -> PortState:
    watched = interface.bfd.get("enable") == "true"
    return PortState(
        device=interface.name,
        owner=interface.external_ids.get(MARK, ""),
        ofport=max(0, *interface.ofport, 0),
        link_up=interface.link_state == ["up"],
        bfd_up=interface.bfd_status.get("forwarding") == "true" if watched else None,
        error="; ".join(interface.error),
    )


def _is_ours(row: Row) -> bool:
    return MARK in row.external_ids


def _set(row: Row, **columns: Any) -> None:
    """Write those columns that differ: a transaction without a difference costs nothing."""
    for column, value in columns.items():
        if getattr(row, column, None) != value:
            setattr(row, column, value)


def _root(idl: Idl, transaction: Transaction) -> Row:
    rows = list(idl.tables["Open_vSwitch"].rows.values())
    return rows[0] if rows else transaction.insert(idl.tables["Open_vSwitch"])


def _row(idl: Idl, table: str, name: str) -> Row | None:
    return next((row for row in idl.tables[table].rows.values() if row.name == name), None)


def _open(remote: str) -> Idl:
    # Not by `location`: the parser behind that takes 40 ms, and the agent's loop stands still.
    schema = SchemaHelper(schema_json=json.loads(Path(SCHEMA).read_bytes()))
    for table, columns in COLUMNS.items():
        schema.register_columns(table, columns)
    idl = Idl(remote, schema)
    # The setter refuses less than a second, for servers far away; this one is on this host.
    idl._session.reconnect.min_backoff, idl._session.reconnect.max_backoff = BACKOFF_MS
    return idl


def remove_bridge(remote: str, bridge: str = "br-int", *, timeout_s: float = 5.0) -> None:
    """Remove the bridge and all its ports, if it is there (``onehop agent clean``)."""
    options = [f"--timeout={timeout_s:.0f}", f"--db={remote}", "--no-wait", "--if-exists"]
    subprocess.run(["ovs-vsctl", *options, "del-br", bridge], check=True)
