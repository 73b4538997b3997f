"""What the store holds, as resources, kept up to date by an IDL (RFC 7047).

1. Changes only inside `run`, from one committed state to a later one.
2. While the connection is down everything stays as it was.
3. A row that breaks the model's rules is logged and counts as absent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from onehop.controller.ovsdb import (
    ROW_CREATE,
    ColumnDefaultDict,
    Datum,
    Idl,
    Notice,
    Row,
    SchemaHelper,
)
from onehop.controller.store.rows import UnreadableRowError, read_row
from onehop.controller.store.schema import schema, table_of
from onehop.engine.model import KINDS, STATE, STATED, Resource
from onehop.engine.model.index import Index

Ident = tuple[str, str]  # a kind and a name
BACKOFF_MS = (20, 100)  # between two attempts to connect: at first, at most
PAUSE_ROWS = 32  # about 5 ms of work
PLACES = {kind.KIND: place for place, kind in enumerate((*STATED, *STATE))}
TABLES = {table_of(kind): kind for kind in KINDS.values()}

log = logging.getLogger(__name__)


class Step(NamedTuple):
    """From one committed state to a later one."""

    put: list[Resource]  # new or changed; what is referred to comes first
    remove: list[Ident]  # what refers comes first


class Replica:
    """The resources of the store, and the rows that hold them."""

    def __init__(self, remote: str, pause: Callable[[], None]) -> None:
        helper = SchemaHelper(schema_json=schema())
        helper.register_all()
        self._pause = _Pause(pause)
        self.idl = _Idl(remote, helper, self._pause)
        reconnect = self.idl._session.reconnect
        reconnect.min_backoff, reconnect.max_backoff = BACKOFF_MS  # its setter refuses < 1 s
        self.synced = False  # whether the store's content has ever been seen
        self.known: dict[Ident, Resource] = {}
        self._index: Index | None = None
        self._rows: dict[Ident, Any] = {}
        self._idents: dict[Any, Ident] = {}  # by the row's UUID
        self._before: dict[Ident, Resource | None] = {}  # of what changed since the last step

    @property
    def connected(self) -> bool:
        """Whether the server can be asked now."""
        idl = self.idl
        connection = idl._session.rpc  # still there in the run in which it was found to be lost
        alive = connection is not None and not connection.get_status()
        return bool(alive and idl.state == idl.IDL_S_MONITORING)

    def run(self) -> None:
        """Take in what the server sent."""
        self.idl.run()
        if self.idl.replaced and self.connected:
            self._read_all()
        elif not self.idl.replaced:
            self._read(self.idl.touched)
        self.idl.touched.clear()

    def take_step(self) -> Step | None:
        """What changed since the last step, or None."""
        changed = {
            ident: self.known.get(ident)
            for ident, before in self._before.items()
            if self.known.get(ident) != before
        }
        self._before.clear()
        return make_step(changed) if changed else None

    @property
    def index(self) -> Index:
        """What users state, and where to find it; made when it is asked for first."""
        if self._index is None:
            self._index = Index(r for r in self.known.values() if isinstance(r, STATED))
        return self._index

    def find(self, kind: str, name: str) -> Any:
        """The row of a resource, or None."""
        return self._rows.get((kind, name))

    def uuid_of(self, kind: str, name: str) -> Any:
        """The UUID of a resource's row, as JSON, or None."""
        row = self._rows.get((kind, name))
        return None if row is None else ["uuid", str(row.uuid)]

    def _read_all(self) -> None:
        self.idl.replaced = False
        present = [(table, uuid) for table in TABLES for uuid in self.idl.tables[table].rows]
        gone = self._idents.keys() - {uuid for _, uuid in present}
        self._read([*(("", uuid) for uuid in gone), *present])
        self.synced = True

    def _read(self, touched: Iterable[tuple[str, Any]]) -> None:
        """Read rows by (table, UUID); those that are gone first: another may have the name."""
        gone, present = [], []
        for table, uuid in touched:
            row = self.idl.tables[table].rows.get(uuid) if table else None
            if row is None:
                gone.append(uuid)
            else:
                present.append((TABLES[table], row))
                self._idents[uuid] = (TABLES[table].KIND, row._data.json["name"])
        learned = [(row, self._resource(kind, row)) for kind, row in present]
        for uuid in gone:
            self._forget(uuid)
        for row, resource in learned:
            self._rows[self._idents[row.uuid]] = row
            self._note(self._idents[row.uuid], resource)

    def _forget(self, uuid: Any) -> None:
        ident = self._idents.pop(uuid, None)
        if ident is not None:
            del self._rows[ident]
            self._note(ident, None)

    def _resource(self, kind: type[Resource], row: Any) -> Resource | None:
        self._pause.now_and_then()
        try:
            return read_row(kind, row._data.json, self._idents)
        except (UnreadableRowError, KeyError) as error:
            log.warning("the store holds what makes no sense: %s", error)
            return None

    def _note(self, ident: Ident, resource: Resource | None) -> None:
        self._before.setdefault(ident, self.known.get(ident))
        if resource is None:
            self.known.pop(ident, None)
        else:
            self.known[ident] = resource
        if self._index is not None and issubclass(KINDS[ident[0]], STATED):
            if resource is None:
                self._index.remove(ident)
            else:
                self._index.put(resource)


def make_step(changed: dict[Ident, Resource | None]) -> Step:
    """A step in the order in which references stay whole; None: removed."""
    ordered = sorted(changed, key=lambda ident: (PLACES[ident[0]], ident[1]))
    put = [resource for ident in ordered if (resource := changed[ident]) is not None]
    return Step(put, [ident for ident in reversed(ordered) if changed[ident] is None])


class _Pause:
    """Lets others work, once in `PAUSE_ROWS` rows."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._rows = 0

    def now_and_then(self) -> None:
        self._rows += 1
        if self._rows % PAUSE_ROWS == 0:
            self._pause()


class _Data(ColumnDefaultDict):  # type: ignore[misc]
    """The columns of a row as the server sent them; what the IDL makes of one, when it is asked.

    The IDL's own parse each column of each row: half of the time that a step of many rows took,
    and most of the memory of a client.
    """

    __slots__ = ("json",)

    def __init__(self, table: Any, json: dict[str, Any]) -> None:
        super().__init__(table)
        self.json = json

    def __missing__(self, column: str) -> Any:
        if column in self.json:
            return Datum.from_json(self._table.columns[column].type, self.json[column])
        return super().__missing__(column)

    def settle(self) -> None:
        """Say as JSON what the IDL has changed."""
        self.json |= {column: datum.to_json() for column, datum in self.items()}
        self.clear()


class _Idl(Idl):  # type: ignore[misc]
    """The IDL, noting which rows changed, and keeping them as JSON."""

    touched: set[tuple[str, Any]]  # table and UUID
    replaced: bool  # a new connection: every row is a new object

    def __init__(self, remote: str, helper: Any, pause: _Pause) -> None:
        super().__init__(remote, helper)
        self.touched = set()
        self.replaced = True
        self._pause = pause

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        if row._table.name in TABLES:
            self.touched.add((row._table.name, row.uuid))

    def _Idl__process_update2(self, table: Any, uuid: Any, update: Any) -> Any:  # noqa: N802
        """As the IDL's, which has no other place for this."""
        inserted = update.get("insert") or update.get("initial")
        if table.name not in TABLES or not inserted:
            notice = super().__process_update2(table, uuid, update)
            if "modify" in update and table.name in TABLES:
                table.rows[uuid]._data.settle()
            return notice
        table.rows[uuid] = row = Row(self, table, uuid, _Data(table, inserted))
        return Notice(ROW_CREATE, row)

    def cooperative_yield(self) -> None:
        self._pause.now_and_then()

    def restart_fsm(self) -> None:
        super().restart_fsm()
        self.replaced = True
