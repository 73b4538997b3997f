"""Floating IPs, VIPs, pools and leased ports written into the compiled topology."""

from libc.stdlib cimport calloc, free

from onehop.engine.cdefs cimport NONE, idx_t, tag_t, uint8_t, uint16_t, uint32_t
from onehop.engine.layout cimport copy_bytes, ensure_tries, set_routes
from onehop.engine.route cimport ROUTE_NORMAL, Node, Trie, trie_descend
from onehop.engine.topology cimport Block, Device, Member, Members, Vip

from onehop.engine import maglev

SERVICES = ("floating", "block", "pool", "vip")


cdef class Services:
    def __cinit__(self, Names names):
        self.names, self.topo = names, names.topo
        self._vips, self._pools, self._balanced, self._blocks = {}, {}, {}, {}

    def write(self, key, fact, set tags):
        kind = key[0]
        if kind == "floating":
            self._write_floating(key, fact, tags)
        elif kind == "block":
            self._write_block(key, fact)
        elif kind == "pool":
            self._write_pool(key[1], fact or (), tags)
        else:
            self._write_vip(key[1], fact, tags)

    def settle(self, set kinds, set tags):
        """After facts of these kinds: what several of them make up together."""
        if "block" in kinds:
            self._place_blocks()
        if "pool" in kinds or "vip" in kinds:
            self._place_vips(tags)

    def _write_floating(self, key, other, set tags):
        """A change may concern every packet of the router."""
        _, router, side, address = key
        cdef Device* device = &self.topo.devices[self.names.device_index(router)]
        cdef uint8_t bits[16]
        cdef Trie* trie
        ensure_tries(device)
        if side == "floating":
            trie = &device.floating4 if len(address) == 4 else &device.floating6
            device.n_floating += (other is not None) - trie_has(trie, address)
        else:
            trie = &device.fixed4 if len(address) == 4 else &device.fixed6
        copy_bytes(bits, address, 16)
        facts = [] if other is None else [(ROUTE_NORMAL, 0, b"", 0, <uint32_t>NONE, other, 0)]
        set_routes(trie, bits, len(address) * 8, device.tag, facts)
        tags.add(device.tag)

    def _write_pool(self, name, members, set tags):
        cdef idx_t index = self.names.pool_index(name)
        tags.add(self.topo.members[index].tag)
        self._pools[name] = members
        fill_members(&self.topo.members[index], members)

    def _write_vip(self, name, fact, set tags):
        cdef idx_t index
        cdef Vip* vip
        if fact is None:
            self._vips.pop(name, None)
            return
        self._vips[name] = fact
        index = self.names.vip_index(name)
        vip = &self.topo.vips[index]
        vip.pool = self.names.pool_index(fact.pool)
        vip.affinity_s, vip.port, vip.proto = fact.affinity_s, fact.port, fact.proto
        tags.add(vip.tag)

    def _place_vips(self, set tags):
        """The tries of routers with VIPs."""
        wanted = {}
        for name, fact in sorted(self._vips.items()):
            sides = wanted.setdefault(fact.router, ({}, {}))
            sides[0].setdefault(fact.address, []).append(self.names.vip_index(name))
            for member in self._pools.get(fact.pool, ()):
                sides[1].setdefault(member.address, set()).add(member.port)
        for router in wanted.keys() | self._balanced.keys():
            self._place_vips_of(router, wanted.get(router, ({}, {})), tags)
        self._balanced = wanted

    def _place_vips_of(self, router, wanted, set tags):
        cdef Device* device = &self.topo.devices[self.names.device_index(router)]
        there = self._balanced.get(router, ({}, {}))
        if there == wanted:
            return
        tags.add(device.tag)
        ensure_tries(device)
        device.n_vips = <uint32_t>len(wanted[0])
        for address in there[0].keys() | wanted[0].keys():
            put_indices(&device.vips4 if len(address) == 4 else &device.vips6, address,
                        wanted[0].get(address, []), device.tag)
        for address in there[1].keys() | wanted[1].keys():
            put_indices(&device.members4 if len(address) == 4 else &device.members6, address,
                        sorted(wanted[1].get(address, ())), device.tag)

    def _write_block(self, key, n_ports):
        """No flow depends on it: what was translated stays so."""
        if n_ports is None:
            self._blocks.pop(key[1:], None)
        else:
            self._blocks[key[1:]] = n_ports

    def _place_blocks(self):
        cdef Block* blocks
        cdef uint32_t i
        found = sorted(
            (self.names.host_index(host), address, first, n)
            for (host, address, first), n in self._blocks.items())
        blocks = <Block*>calloc(len(found) + 1, sizeof(Block))
        if blocks == NULL:
            raise MemoryError
        for i, (host, address, first, n) in enumerate(found):
            blocks[i].host, blocks[i].family = host, 4 if len(address) == 4 else 6
            copy_bytes(blocks[i].ip, address, 16)
            blocks[i].first_port, blocks[i].last_port = first, min(first + n - 1, 65535)
        free(self.topo.blocks)
        self.topo.blocks, self.topo.n_blocks = blocks, <uint32_t>len(found)


cdef bint trie_has(const Trie* trie, bytes address) noexcept:
    cdef uint8_t bits[16]
    cdef uint32_t consulted = 0
    cdef const Node* node
    copy_bytes(bits, address, 16)
    node = trie_descend(trie, bits, &consulted)
    return node.n_routes > 0 and node.len_bits == trie.width_bits


cdef int put_indices(Trie* trie, bytes address, list indices, tag_t tag) except -1:
    cdef uint8_t bits[16]
    copy_bytes(bits, address, 16)
    facts = [(ROUTE_NORMAL, 0, b"", 0, index, b"", 0) for index in indices]
    return set_routes(trie, bits, <uint8_t>(len(address) * 8), tag, facts)


cdef int fill_members(Members* pool, facts) except -1:
    """Those that take new connections share the slots."""
    cdef uint32_t i, n = <uint32_t>len(facts)
    cdef Member* members = <Member*>calloc(n + 1, sizeof(Member))
    cdef uint16_t* slots
    open_ones = [(f"{fact.address.hex()} {fact.port}", fact.weight, place)
                 for place, fact in enumerate(facts) if fact.is_open and fact.is_healthy]
    shares = maglev.table([(name, weight) for name, weight, _ in open_ones], n)
    slots = <uint16_t*>calloc(len(shares) + 1, sizeof(uint16_t))
    if members == NULL or slots == NULL:
        free(members)
        free(slots)
        raise MemoryError
    for i in range(n):
        copy_bytes(members[i].ip, facts[i].address, 16)
        members[i].port = facts[i].port
        members[i].is_open, members[i].is_healthy = facts[i].is_open, facts[i].is_healthy
    for i, place in enumerate(shares):
        slots[i] = open_ones[place][2]
    free(pool.members)
    free(pool.slots)
    pool.members, pool.n_members = members, n
    pool.slots, pool.n_slots = slots, <uint32_t>len(shares)
    return 0
