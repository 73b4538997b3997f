"""What is installed, and what would be, as people ask for it; nothing here changes anything."""

from onehop.engine.cdefs cimport idx_t, nsec_t, uint32_t
from onehop.engine.hot cimport Hot

# The Installed of a slot; None: no flow is there.
cdef object installed_at(Hot* hot, uint32_t flow, nsec_t now)
# The Proposed for a packet that comes in by `port`; ValueError: it is none.
cdef object proposed(Hot* hot, bytes packet, idx_t port, nsec_t now)
