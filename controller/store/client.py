"""A client of the store: reads it step by step, replaces its topology, writes state.

Works in plain Python and under eventlet's monkey patching, with the same calls.

1. A step leads from one committed state of the store to a later one and never shows half a
   transaction.  What was missed while the connection was down comes as one step when it is back.
2. `run`, `put` and `remove` never block; `wait`, `apply` and `change` block the caller alone.
3. `apply` and `change` are all or nothing, and two of them never mix.  When the connection is
   lost in the midst of one, it is found out whether it happened, so that it happens once.
"""

from __future__ import annotations

import select
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from onehop.controller.ovsdb import Poller, Transaction
from onehop.controller.store.address import absolute
from onehop.controller.store.outbox import Outbox
from onehop.controller.store.replica import Ident, Replica, Step, make_step
from onehop.controller.store.rows import row_values
from onehop.controller.store.schema import REVISION, columns_of, table_of
from onehop.engine.model import (
    KINDS,
    STATE,
    STATED,
    Bridge,
    ModelError,
    Port,
    Problem,
    Resource,
    Topology,
    assign_keys,
    check,
    diff,
)
from onehop.engine.model.check import Unread, check_change
from onehop.engine.model.index import Index

__all__ = ["Decide", "Held", "Step", "Store", "StoreError"]


LAST_CHANGES = 2048  # whose names are kept: more than happen while a client looks for a server
ROW_S = 0.002  # that a change may take longer for each row of it
NOTHING_UNREAD = Unread()
Held = Mapping[Ident, Resource]  # by kind and name
Decide = Callable[[Index], Step]  # knows what is stated


class StoreError(OSError):
    """The store could not be reached, or refused."""


class Store:
    """A connection to the store that comes back by itself."""

    def __init__(self, remote: str, pause: Callable[[], None] = lambda: None) -> None:
        """Connect to `remote`: "unix:PATH", "tcp:ADDRESS:PORT", or several with commas.

        `pause` is called now and then in the midst of long work, so that other green threads,
        which may `put` and `remove`, go on.
        """
        self.remote = remote
        self._replica = Replica(absolute(remote), pause)
        self._outbox = Outbox(self._replica)
        self._working = False  # in `pause`, others may come in while this is true

    @property
    def connected(self) -> bool:
        """Whether the server can be asked now."""
        return self._replica.connected

    @property
    def synced(self) -> bool:
        """Whether the store's content has ever been seen."""
        return self._replica.synced

    @property
    def idle(self) -> bool:
        """Whether all that was put and removed has been written."""
        return self._outbox.empty

    def run(self) -> Step | None:
        """Take in what arrived, send what waits; the step since the last call, if any."""
        self._work()
        return self._replica.take_step()

    def wait(self, timeout_s: float, wake: int | None = None) -> None:
        """Wait until `run` has something to do or `wake` can be read, at most so long."""
        poller = Poller()
        self._replica.idl.wait(poller)
        if wake is not None:
            poller.fd_wait(wake, select.POLLIN)
        poller.timer_wait(max(1, round(timeout_s * 1000)))
        poller.block()

    def put(self, resources: Iterable[Resource]) -> None:
        """Have the store hold these resources of state; and hosts that it does not know yet."""
        for resource in resources:
            self._outbox.put(resource)
        self._send()

    def remove(self, kind: str, names: Iterable[str]) -> None:
        """Have the store no longer hold this state, where it is still the same host's."""
        for name in names:
            self._outbox.remove((kind, name))
        self._send()

    @property
    def held(self) -> Held:
        """What the store holds; changes inside `run`, `change` and `apply`."""
        return self._replica.known

    @property
    def index(self) -> Index:
        """What users state; the first call takes time in proportion to it."""
        return self._replica.index

    def snapshot(self) -> dict[str, dict[str, Resource]]:
        """What the store holds, by kind and name."""
        held: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
        for (kind, name), resource in self._replica.known.items():
            held[kind][name] = resource
        return held

    def topology(self) -> Topology:
        """What users state, as the store holds it."""
        held = self.snapshot()
        return Topology.of(r for kind in STATED for _, r in sorted(held[kind.KIND].items()))

    def close(self) -> None:
        """Drop the connection."""
        self._replica.idl.close()

    def until_connected(self, timeout_s: float) -> None:
        """Wait until the store's content is there; raises a StoreError when it takes too long."""
        self._until(lambda: self.connected, time.monotonic() + timeout_s, "does not answer")

    def flush(self, timeout_s: float) -> None:
        """Wait until all that was put and removed has been written."""
        self._until(lambda: self.idle, time.monotonic() + timeout_s, "does not write")

    def apply(self, topology: Topology, timeout_s: float = 10.0) -> Step:
        """Replace what users state, in one transaction; returns what that changed.

        State about what is removed goes with it, all other state stays, and so do hosts that
        registered themselves.  Tunnel keys that are not stated are assigned, or stay what they
        were.
        """
        _refuse(check(topology))
        return self._commit(lambda: self.difference(topology), timeout_s)

    def change(
        self, decide: Decide, timeout_s: float = 10.0, unread: Unread = NOTHING_UNREAD
    ) -> Step:
        """Change what users state, in one transaction; returns what that changed.

        `decide` says what to put and to remove, knowing what is held; it is asked again when
        somebody else was faster.  What it raises ends the change, and nothing has happened.  With
        something `unread` nothing happens either, and all that is wrong is told at once.
        """
        return self._commit(lambda: self._checked(decide(self.index), unread), timeout_s)

    def _checked(self, step: Step, unread: Unread) -> Step:
        """`step` with tunnel keys, and without what changes nothing; refuses mistakes."""
        put = {(resource.KIND, resource.name): resource for resource in step.put}
        found = check_change(self.index, put.values(), step.remove, unread=unread.idents)
        _refuse([*unread.problems, *found])
        held = {ident: self.index.get(ident) for ident in put}
        keys = {i: r.tunnel_key for i, r in held.items() if isinstance(r, Bridge | Port)}
        keyed = assign_keys(Topology.of(put.values()), keys, self.index.tunnel_keys)
        changed: dict[Ident, Resource | None] = {(r.KIND, r.name): r for r in keyed}
        changed |= dict.fromkeys(step.remove)
        return make_step({i: r for i, r in changed.items() if self.held.get(i) != r})

    def _commit(self, wanted: Callable[[], Step], timeout_s: float) -> Step:
        started, deadline = None, time.monotonic() + timeout_s
        tried: dict[str, Step] = {}  # a new leader may show what an old one accepted only later
        first = 0  # the revision when the first was tried
        while True:
            self._until(lambda: self.connected, deadline, "does not answer")
            if tried:
                for change in tried.keys() & self._last_changes():
                    return tried[change]
                if self._revision > first + LAST_CHANGES:
                    raise StoreError(f"the store at {self.remote} cannot say whether it changed")
            else:
                first = self._revision
            step = wanted()
            if started is None:  # our own work is not the store's delay
                started = time.monotonic()
                deadline = started + timeout_s + ROW_S * (len(step.put) + len(step.remove))
            change = uuid.uuid4().hex[:16]
            tried[change] = step
            if self._replace(step, change, deadline):
                return step
            self._turn(deadline, "is busy with others", at_most_s=0.05)

    def proposed(self, topology: Topology) -> Step:
        """What `apply` would change now; refuses what `apply` would refuse."""
        _refuse(check(topology))
        return self.difference(topology)

    def difference(self, topology: Topology) -> Step:
        """What `apply` would change now; refuses what clashes with a registered host."""
        named = {host.name for host in topology.hosts}
        registered = [h for h in self.topology().hosts if h.registered and h.name not in named]
        if registered:
            topology = Topology.of((*topology, *registered))
            _refuse(check(topology))
        return Step(*diff(self.topology(), assign_keys(topology, self._keys())))

    def _keys(self) -> dict[Ident, int]:
        """The tunnel keys that are assigned."""
        keyed = ((i, r) for i, r in self.held.items() if isinstance(r, Bridge | Port))
        return {ident: resource.tunnel_key for ident, resource in keyed}

    def _replace(self, step: Step, change: str, deadline: float) -> bool:
        """Commit `step`; False: somebody else was faster, or the connection was lost."""
        if step == ([], []):
            return True
        transaction = Transaction(self._replica.idl)
        self._write(transaction, step)
        self._count_revision(transaction, change)
        while (status := transaction.commit()) == Transaction.INCOMPLETE:
            self._turn(deadline, "does not commit")
        if status == Transaction.ERROR:
            raise StoreError(f"the store at {self.remote} refused: {transaction.get_error()}")
        return bool(status == Transaction.SUCCESS)

    def _write(self, transaction: Any, step: Step) -> None:
        """Say what `step` does as OVSDB's own operations; rows of the IDL cost ten times more."""
        find, new = self._replica.uuid_of, {}
        for number, resource in enumerate(step.put):
            ident = (resource.KIND, resource.name)
            if find(*ident) is None:
                new[ident] = ["named-uuid", f"row{number}"]

        def refer(kind: str, name: str) -> Any:
            return new.get((kind, name)) or find(kind, name)

        for resource in step.put:
            operation: dict[str, Any] = {"table": table_of(type(resource))}
            given = new.get((resource.KIND, resource.name))
            if given is not None:
                operation |= {"op": "insert", "uuid-name": given[1]}
            else:
                operation |= {"op": "update", "where": _is(find(resource.KIND, resource.name))}
            operation["row"] = row_values(resource, refer, new=given is not None)
            transaction.add_op(operation)
        for kind, name in step.remove:
            uuid = find(kind, name)
            for operation in _remove_state(kind, uuid):
                transaction.add_op(operation)
            table = table_of(KINDS[kind])
            transaction.add_op({"op": "delete", "table": table, "where": _is(uuid)})

    def _count_revision(self, transaction: Any, change: str) -> None:
        """Let the transaction happen only when nobody has changed what is stated meanwhile."""
        held = self._revision
        was = [{"number": held}] if held else []
        number, named = held + 1, ["map", [[held + 1, change]]]
        transaction.add_op(
            {"op": "wait", "table": REVISION, "where": [], "timeout": 0, "until": "==",
             "columns": ["number"], "rows": was}
        )  # fmt: skip
        if not held:
            row = {"number": number, "changes": named}
            transaction.add_op({"op": "insert", "table": REVISION, "row": row})
            return
        forgotten = ["set", [number - LAST_CHANGES]]
        mutations = [["changes", "insert", named], ["changes", "delete", forgotten]]
        every = {"table": REVISION, "where": []}
        transaction.add_op({"op": "update", **every, "row": {"number": number}})
        transaction.add_op({"op": "mutate", **every, "mutations": mutations})

    @property
    def _revision(self) -> int:
        """How often what is stated has changed."""
        return sum(row.number for row in self._replica.idl.tables[REVISION].rows.values())

    def _last_changes(self) -> set[str]:
        """The names of the last changes."""
        rows = self._replica.idl.tables[REVISION].rows.values()
        return {name for row in rows for name in row.changes.values()}

    def _until(self, reached: Callable[[], bool], deadline: float, complaint: str) -> None:
        self._work()
        while not reached():
            self._turn(deadline, complaint)

    def _turn(self, deadline: float, complaint: str, at_most_s: float = 1.0) -> None:
        """Wait for something to happen and take it in; `run` still tells it as a step."""
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise StoreError(f"the store at {self.remote} {complaint}")
        self.wait(min(remaining_s, at_most_s))
        self._work()

    def _work(self) -> None:
        self._working = True
        try:
            self._replica.run()
        finally:
            self._working = False
        self._send()

    def _send(self) -> None:
        if not self._working:
            self._outbox.run()


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise ModelError(problems)


def _is(uuid: Any) -> list[Any]:
    return [["_uuid", "==", uuid]]


def _remove_state(kind: str, uuid: Any) -> Iterable[dict[str, Any]]:
    """Operations that remove all state about a resource, also what this client has not seen."""
    for state in STATE:
        for column in columns_of(state):
            if column.ref == kind:
                where = [column.name, "includes", uuid]
                yield {"op": "delete", "table": table_of(state), "where": [where]}
