from collections.abc import Iterable

from onehop.engine.states import States

class PortUse:
    """Which of some blocks' ports translate connections: found out a part of the table at a time.

    Each connection is counted once, if it is there all the while; those that come or go meanwhile
    may be counted or not. Remote ends are told apart by 47 bits of a hash.
    """

    names: list[str]  # of the blocks
    peaks: dict[int, int]  # pool -> how many ports its busiest remote end has; when `look` is done

    def __init__(self, states: States, blocks: Iterable[tuple[str, str, int, int, int]]) -> None:
        """blocks: (name, address, first port, number of ports, pool; less than 65 536)."""

    def look(self, slots: int, now_ns: int) -> bool:
        """Look at so many slots more; whether that was all."""

    def used(self) -> set[str]:
        """The names of the blocks that some connection has a port of."""
