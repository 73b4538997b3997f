from collections.abc import Sequence

def table(members: Sequence[tuple[str, int]], n_stated: int = 0) -> list[int]:
    """The member (by its place) that has each slot, of (name, weight); empty without members.

    `n_stated` is how many the pool has, with those that get nothing now.
    """
