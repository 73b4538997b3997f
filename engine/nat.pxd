"""Translations: what a rule writes instead of a source or a destination, and back.

1. A translation is two entries of the state table in the zone of the device, each of which follows
   from the other: as the packet comes -> what is written (SNAT, DNAT), and as the answer comes ->
   what was there before (REVERSE_SNAT, REVERSE_DNAT). Whoever finds one looks at the other too, so
   they live equally long; the one that is missing is made again.
2. What is new is chosen so that its answers' entry is nobody else's: no two live connections look
   the same after it. A source port is used again for another remote end.
3. Source ports come from the blocks that are leased to the host where the packet came in. A pool
   that is used up refuses new connections only.
4. ICMP echoes are told apart by their identifier, which is translated like a port. An ICMP error
   is translated with the packet that it quotes, by that packet's entries, and makes none; the
   filter that would translate that packet accepts it.
5. A flood, a crafted packet that has no entry, and a packet of another family than the targets'
   are passed over. A packet without ports (a later fragment, another protocol) cannot be told from
   others after SNAT: it is dropped.
"""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.chain cimport Target
from onehop.engine.state cimport StateEntry, StateKey
from onehop.engine.walk cimport Walk

cdef enum Translated:
    N_PASSED = 0           # not its business
    N_DONE
    N_NO_PORT              # nothing is left to translate it to
    N_IMPOSSIBLE

# By the targets of a rule, of which there are n; flags go into the entries.
cdef int translate_source(
    Walk* walk, uint64_t zone, const Target* targets, uint32_t n, uint8_t flags,
) noexcept nogil
cdef int translate_destination(
    Walk* walk, uint64_t zone, const Target* targets, uint32_t n, uint8_t flags,
) noexcept nogil
# Back, by what was remembered: REVERSE_SNAT or REVERSE_DNAT, with these flags.
cdef int translate_back(Walk* walk, uint64_t zone, int kind, uint8_t flags) noexcept nogil

# An ICMP error about a connection that is translated here, whatever the rules say of ICMP itself:
# on its way in to the device, or out of it.
cdef bint translate_error(Walk* walk, uint64_t zone, bint outwards) noexcept nogil

# The parts, for the load balancer.
# The entry with this key and these flags, if it is there; its partner is used or made again.
cdef bint recall_both(
    Walk* walk, const StateKey* key, int direction, uint8_t flags, StateEntry* out,
) noexcept nogil
# Remember it and its partner, with these flags, and do what it says.
cdef void begin_one(
    Walk* walk, StateEntry* made, StateEntry* partner, uint8_t flags,
) noexcept nogil
cdef void apply(Walk* walk, const StateEntry* entry) noexcept nogil
# Whether nobody else's answers come so; the partner that would say it of its own.
cdef bint is_free(
    const Walk* walk, const StateEntry* made, StateEntry* partner,
) noexcept nogil
# An ICMP error, by the entry of this kind for what it quotes.
cdef int translate_quoted(Walk* walk, uint64_t zone, int kind, uint8_t flags) noexcept nogil

# The packet has another address from now on.
cdef void set_source_ip(Walk* walk, const uint8_t* ip) noexcept nogil
cdef void set_destination_ip(Walk* walk, const uint8_t* ip) noexcept nogil
