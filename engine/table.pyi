"""The table of flows as a library: many keys at a time. No other part uses it."""

import numpy as np
from numpy.typing import NDArray

KEY_BYTES: int
NOWHERE: int

class Table:
    """Flows by match, for up to `max_flows`."""

    def __init__(self, max_flows: int, *, seed: int = 0) -> None: ...
    def add(self, keys: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """A flow for each row of KEY_BYTES, unless it is there; its number, or NOWHERE: full."""

    def remove(self, flows: NDArray[np.uint32]) -> None:
        """Those that are there."""

    def cover(self, keys: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """The flow that covers each key, or NOWHERE; and a mask: what of the key told so."""
