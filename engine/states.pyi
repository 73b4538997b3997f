"""What a host remembers about connections."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

class Entry(NamedTuple):
    """One entry, as people and tests see it."""

    kind: str  # connection, snat, reverse_snat, dnat, reverse_dnat, affinity
    zone: int  # the tag of the port or device
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    address: str = ""  # NAT: what is written instead
    port: int = 0
    state: str = ""  # half-open, established, closing, closed
    flags: int = 0

KINDS: tuple[str, ...]
STATES: tuple[str, ...]
VERSION: tuple[int, int]  # of messages; another major one is not understood

RECORD: np.dtype[np.void]  # an entry in an array: kind and state are places in KINDS and STATES
Records = npt.NDArray[np.void]

def bytes_for(capacity: int) -> int:
    """How large a buffer must be for a table of at least `capacity` entries."""

class States:
    """A table of entries over `buffer`: it takes over what it finds there, if it is one.

    The buffer is kept and written to; a file mapped into memory makes the table outlive its
    process. Without one, the table has its own memory.
    """

    counters: dict[str, int]  # entries, capacity, refused, inserted, expired, merged, unreadable
    seed: int
    slots: int  # places for entries

    def __init__(
        self,
        capacity: int = 65_536,
        *,
        buffer: bytearray | memoryview | object | None = None,
        seed: int = 0,
        now_ns: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def entries(self, now_ns: int) -> Iterator[Entry]: ...
    def find(self, entry: Entry, now_ns: int) -> Entry | None:
        """The entry with the key of `entry`, if it is there and has not expired."""

    def insert(self, entry: Entry, now_ns: int) -> bool:
        """Put `entry` there instead of the one with its key; False: there is no room."""

    def records(self, now_ns: int) -> Records:
        """All entries, as an array."""

    def insert_records(self, records: Records, now_ns: int) -> npt.NDArray[np.bool_]:
        """Insert them all; which of them there was room for. Times and tags are made anew."""

    def find_records(self, records: Records, now_ns: int) -> Records:
        """The entries with their keys; zeros where there is none."""

    def touch(self, entry: Entry, now_ns: int) -> bool: ...
    def remove(self, entry: Entry) -> bool: ...
    def expire(self, now_ns: int) -> list[int]:
        """Clear away some of what has expired: all of it within two seconds of such calls.

        Returns the tags.
        """

    def tag(self, entry: Entry) -> int: ...
    def messages(
        self, now_ns: int, addresses: Iterable[str] = (), most: int = 1000
    ) -> Iterator[bytes]:
        """All entries, or those about any of `addresses`: messages of `most` or a few more.

        The table may change from one to the next: what is there all the while is in one of them.
        """

    def merge(self, message: bytes, now_ns: int) -> list[int]:
        """Take in a peer's entries; the tags of those that came, went or changed.

        Bytes that are no message change nothing and are counted.
        """

def message(entries: Iterable[Entry], removed: Iterable[Entry] = ()) -> bytes:
    """A message about entries as new, and about entries that are to go."""
