"""State entries <-> the messages in which hosts tell each other about them.

A message: "oh", major version, minor version, number of items (4 bytes); then items, each with its
length before it (2 bytes). An item:
  operation, kind, protocol, family, state, flags: 1 byte each; source port, destination port,
  port: 2; milliseconds left, extra: 4; zone: 8; source, destination, address: 4 or 16 each.

1. All integers are in network order. Times are relative: hosts' clocks are their own.
2. A newer minor version may append to an item and behind all items, and add operations and kinds:
   what is unknown is skipped, and is no fault. A state that it adds counts as established.
   Another major version is not understood at all.
3. Any bytes are safe.
"""

from onehop.engine.buffer cimport Buffer
from onehop.engine.cdefs cimport nsec_t, uint8_t, uint32_t, uint64_t
from onehop.engine.state cimport StateEntry, StateTable

cdef enum:
    MAJOR = 1
    MINOR = 1
    ITEM_PUT = 1
    ITEM_REMOVE = 2
    ITEM_ANSWER = 3        # since 1.1: see expect.pxd
    HEAD_BYTES = 8         # of a message
    FIXED_BYTES = 28       # of an item, before its addresses
    ITEM_MAX = 78          # bytes, its length before it and three IPv6 addresses with it

cdef struct Item:
    int operation
    uint32_t left_ms
    StateEntry entry

# Append an item to the message that `message` holds, which it begins where it is empty.
cdef int message_add(
    Buffer* message, int operation, const StateEntry* entry, nsec_t now,
) except -1 nogil
# The same in two steps, for items that go into several messages: an item's bytes, of which there
# are ITEM_MAX at the most, and how many they are; and items into a message.
cdef uint32_t item_write(
    uint8_t* at, int operation, const StateEntry* entry, nsec_t now,
) noexcept nogil
cdef int message_append(
    Buffer* message, const uint8_t* items, uint64_t len_bytes, uint32_t n_items,
) except -1 nogil
# What an item says, from behind its length; and how many of its bytes that is (4, 6: its family).
# False: nothing.
cdef bint item_read(
    Item* item, const uint8_t* at, uint32_t len_bytes, bint is_newer,
) noexcept nogil
cdef inline uint32_t item_bytes(uint8_t family) noexcept nogil:
    return FIXED_BYTES + 3 * (4 if family == 4 else 16)
# Take in what it says; append the tags of entries that came, went or changed, as tag_t.
# False: it is no message; what came before its fault was taken in.
cdef bint message_merge(
    StateTable* table, const uint8_t* data, uint64_t len_bytes, nsec_t now, Buffer* tags,
) except? False nogil
