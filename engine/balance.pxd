"""The load balancer of a router: VIPs, and the members of their pools.

Into the router, before its filter, which a hit skips: (1) a connection that is known stays with
its member, unless that has failed; (2) a source with affinity goes where it went before; (3) of
the members that take new connections, a slot of the pool's table says which: by the connection's
hash, with affinity by the source's. Out of it, before its filter: (4) a member's answer comes
from the VIP.

1. A member that is disabled takes no new connections and keeps those it has; one that has failed
   is as if it had none.
2. A client in the member's subnet becomes the router's own address there (see floating.pxd).
3. Where no member takes it, a new connection is refused.
"""

from onehop.engine.cdefs cimport idx_t
from onehop.engine.walk cimport Walk

cdef enum Balanced:
    B_PASSED = 0           # it is for no VIP
    B_DONE
    B_NO_MEMBER
    B_NO_PORT              # every member has a connection that looks the same

cdef int balance(Walk* walk, idx_t router) noexcept nogil
cdef void balance_back(Walk* walk, idx_t router) noexcept nogil
