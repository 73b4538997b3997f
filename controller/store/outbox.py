"""What hosts find out, on its way into the store.

1. Never blocks.  What cannot be written now is kept, in order, and written later; a later word
   about a resource replaces an earlier one.
2. At most one transaction is on its way; what comes meanwhile goes together with the next.
3. State about what is no longer there is dropped; so is, after `ATTEMPTS`, what the store
   refuses by itself.
4. Who removes state removes its own: when another host has taken the resource over, it stays.
5. What is stated (a host that registers) is never changed here, only added.
6. A lease that another host has is not taken: who leases has it when the store shows it.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from onehop.controller.ovsdb import Transaction
from onehop.controller.store.replica import Ident, Replica
from onehop.controller.store.rows import row_values, write_row
from onehop.controller.store.schema import table_of
from onehop.engine.model import STATED, Resource

ATTEMPTS = 3

log = logging.getLogger(__name__)


class _Word(NamedTuple):
    """The last that was said about a resource."""

    resource: Resource | None  # None: to be removed
    owner: str | None  # of a removal: the host whose resource it is, where known
    refused: int = 0  # how often


class Outbox:
    """Words on their way into the store of a replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._waiting: dict[Ident, _Word] = {}
        self._sent: dict[Ident, _Word] = {}
        self._transaction: Any = None
        self._one_by_one = 0  # so many of the next transactions hold one word each

    @property
    def empty(self) -> bool:
        return not self._waiting and self._transaction is None

    def put(self, resource: Resource) -> None:
        self._say((resource.KIND, resource.name), _Word(resource, None))

    def remove(self, ident: Ident) -> None:
        word = self._waiting.get(ident) or self._sent.get(ident)
        last = word.resource if word else self._replica.known.get(ident)
        self._say(ident, _Word(None, getattr(last, "host", None)))

    def _say(self, ident: Ident, word: _Word) -> None:
        self._waiting.pop(ident, None)
        self._waiting[ident] = word

    def run(self) -> None:
        """Take the server's answer, send what waits."""
        if self._transaction is not None:
            status = self._transaction.commit()
            if status == Transaction.INCOMPLETE:
                return
            self._finish(status)
        while self._transaction is None and self._waiting and self._replica.connected:
            if self._send() == Transaction.TRY_AGAIN:
                return

    def _send(self) -> str:
        words = self._waiting
        if self._one_by_one:
            self._one_by_one -= 1
            words = dict([next(iter(words.items()))])
        self._sent = words
        self._waiting = {i: word for i, word in self._waiting.items() if i not in words}
        self._transaction = Transaction(self._replica.idl)
        for ident, word in words.items():
            self._write(ident, word)
        status: str = self._transaction.commit()
        if status != Transaction.INCOMPLETE:
            self._finish(status)
        return status

    def _write(self, ident: Ident, word: _Word) -> None:
        row = self._replica.find(*ident)
        if word.resource is None:
            self._delete(row, word)
            return
        try:
            values = row_values(word.resource, self._replica.uuid_of)
        except LookupError as error:
            log.info("%s %r is dropped: %s", *ident, error)
            return
        if row is None:
            table = self._replica.idl.tables[table_of(type(word.resource))]
            row = self._transaction.insert(table)
            row.name = word.resource.name
        elif isinstance(word.resource, STATED):
            return
        else:
            row.verify("name")  # or an update of a row that is gone would vanish in silence
            if word.resource.LEASED and ["uuid", str(row.host.uuid)] != values.pop("host"):
                log.info("%s %r is dropped: %r has it", *ident, row.host.name)
                return
        write_row(row, values)

    def _delete(self, row: Any, word: _Word) -> None:
        if row is not None and word.owner in (None, row.host.name):
            row.verify("host")
            row.delete()

    def _finish(self, status: str) -> None:
        sent, self._sent = self._sent, {}
        error = self._transaction.get_error()
        self._transaction = None
        if status in (Transaction.SUCCESS, Transaction.UNCHANGED):
            return
        if status == Transaction.ERROR:
            sent = self._count_refusals(sent, error)
            self._one_by_one = len(sent)
        self._waiting = {**sent, **self._waiting}

    def _count_refusals(self, sent: dict[Ident, _Word], error: str) -> dict[Ident, _Word]:
        """The words that are worth another attempt."""
        counted = {i: word._replace(refused=word.refused + 1) for i, word in sent.items()}
        for ident in [i for i, word in counted.items() if word.refused == ATTEMPTS]:
            log.warning("%s %r is dropped: the store refuses it: %s", *ident, error)
            del counted[ident]
        return counted
