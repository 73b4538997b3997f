"""What is known about addresses: an open-addressing table of fixed-size entries.

A removal shifts the entries behind it back (Knuth, volume 3, section 6.4, algorithm R), so there
are no tombstones and a probe ends at the first free slot.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset


cdef Subject mac_subject(uint32_t place, uint16_t vlan, const uint8_t* mac) noexcept nogil:
    cdef Subject subject
    memset(&subject, 0, sizeof(Subject))
    memcpy(subject.bytes, mac, 6)
    subject.place = place
    subject.what = WHAT_MAC
    subject.detail = vlan
    return subject


cdef Subject neighbor_subject(uint32_t place, uint8_t family, const uint8_t* ip) noexcept nogil:
    cdef Subject subject
    memset(&subject, 0, sizeof(Subject))
    memcpy(subject.bytes, ip, 4 if family == 4 else 16)
    subject.place = place
    subject.what = WHAT_NEIGHBOR
    subject.detail = family
    return subject


cdef inline uint32_t home(const Subject* subject) noexcept nogil:
    cdef uint64_t words[3]
    memcpy(words, subject, sizeof(Subject))
    return <uint32_t>mix(words[0], mix(words[1], words[2]))


cdef const Entry* find(const Known* known, const Subject* subject) noexcept nogil:
    cdef uint32_t at
    if known.used == 0:
        return NULL
    at = home(subject) & known.mask
    while known.slots[at].subject.what != WHAT_FREE:
        if memcmp(&known.slots[at].subject, subject, sizeof(Subject)) == 0:
            return &known.slots[at]
        at = (at + 1) & known.mask
    return NULL


cdef int put(Known* known, const Entry* entry) except -1:
    """Add the entry, or replace the one about the same subject."""
    if known.slots == NULL or known.used * 2 > known.mask:
        grow(known)
    place_entry(known, entry)
    return 0


cdef void place_entry(Known* known, const Entry* entry) noexcept nogil:
    cdef uint32_t at = home(&entry.subject) & known.mask
    while known.slots[at].subject.what != WHAT_FREE:
        if memcmp(&known.slots[at].subject, &entry.subject, sizeof(Subject)) == 0:
            known.slots[at] = entry[0]
            return
        at = (at + 1) & known.mask
    known.slots[at] = entry[0]
    known.used += 1


cdef int grow(Known* known) except -1:
    cdef Known bigger
    cdef uint32_t i
    bigger.mask = known.mask * 2 + 1 if known.slots != NULL else 63
    bigger.used = 0
    bigger.slots = <Entry*>calloc(<size_t>bigger.mask + 1, sizeof(Entry))
    if bigger.slots == NULL:
        raise MemoryError
    if known.slots != NULL:
        for i in range(known.mask + 1):
            if known.slots[i].subject.what != WHAT_FREE:
                place_entry(&bigger, &known.slots[i])
    free(known.slots)
    known[0] = bigger
    return 0


cdef void remove(Known* known, const Subject* subject) noexcept nogil:
    cdef const Entry* found = find(known, subject)
    cdef uint32_t hole, at, wanted
    if found == NULL:
        return
    hole = <uint32_t>(found - known.slots)
    at = hole
    while True:
        at = (at + 1) & known.mask
        if known.slots[at].subject.what == WHAT_FREE:
            break
        wanted = home(&known.slots[at].subject) & known.mask
        if ((at - wanted) & known.mask) >= ((at - hole) & known.mask):
            known.slots[hole] = known.slots[at]
            hole = at
    known.slots[hole].subject.what = WHAT_FREE
    known.used -= 1
