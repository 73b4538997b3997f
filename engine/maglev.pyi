from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onehop.engine.states import Records

def table(members: Sequence[tuple[str, int]], n_stated: int = 0) -> list[int]:
    """The member (by its place) that has each slot, of (name, weight); empty without members.

    `n_stated` is how many the pool has, with those that get nothing now.
    """

def choose(
    shares: Sequence[int] | npt.NDArray[np.uint16], records: Records, seed: int = 0
) -> npt.NDArray[np.uint16]:
    """Whose each of these connections (by their keys) would be, as the load balancer chooses."""
