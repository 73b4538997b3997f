"""Chains, address and port sets, and who is filtered by them, written into the topology."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from onehop.engine.cdefs cimport NONE, idx_t, uint8_t, uint32_t
from onehop.engine.chain cimport PortSet, Rule, address_set_fill, chain_clear, chain_fill
from onehop.engine.layout cimport copy_indices, fill_addresses, free_filters
from onehop.engine.rules cimport make_indices, make_rules
from onehop.engine.topology cimport Device, Port

POLICIES = ("chain", "addresses", "ports", "filters")
TRANSLATIONS = {"snat", "dnat", "reverse_snat", "reverse_dnat"}


cdef class Policies:
    def __cinit__(self, Names names):
        self.names, self.topo = names, names.topo
        self._jumps, self._translating = {}, set()

    def write(self, key, fact, set tags):
        kind = key[0]
        if kind == "chain":
            self._write_chain(key[1], fact, tags)
        elif kind == "addresses":
            self._write_addresses(key[1], fact or (), tags)
        elif kind == "ports":
            self._write_port_set(key[1], fact or (), tags)
        else:
            self._write_filters(key, fact, tags)

    def settle(self, set kinds):
        """After facts of these kinds: what several of them make up together."""
        if "chain" in kinds:
            self._mark_translating()

    def _write_chain(self, name, facts, set tags):
        cdef idx_t index = self.names.chain_index(name)
        cdef Rule* rules
        tags.add(self.topo.chains[index].tag)
        self._note_translations(name, facts or ())
        if facts is None:
            chain_clear(&self.topo.chains[index])
            return
        rules = make_rules(facts, self.names)
        chain_fill(&self.topo.chains[index], rules, <uint32_t>len(facts))

    def _note_translations(self, name, facts):
        actions = {fact.action for fact in facts}
        self._jumps[name] = {fact.jump for fact in facts if fact.jump}
        if actions & TRANSLATIONS:
            self._translating.add(name)
        else:
            self._translating.discard(name)

    def _mark_translating(self):
        """Chains that translate, or jump to one that does."""
        cdef idx_t index
        found = set(self._translating)
        while more := {n for n, to in self._jumps.items() if n not in found and to & found}:
            found |= more
        for index, name in enumerate(self.names.chains):
            self.topo.chains[index].translates = name in found

    def _write_addresses(self, name, prefixes, set tags):
        cdef idx_t index = self.names.address_set_index(name)
        tags.add(self.topo.address_sets[index].tag)
        address_set_fill(&self.topo.address_sets[index], prefixes)

    def _write_port_set(self, name, names, set tags):
        cdef idx_t index = self.names.port_set_index(name)
        cdef uint32_t n = 0
        cdef idx_t* ports = make_indices(names, self.names.port_index, &n)
        cdef PortSet* written = &self.topo.port_sets[index]
        tags.add(written.tag)
        free(written.ports)
        written.ports, written.n_ports = ports, n

    def _write_filters(self, key, fact, set tags):
        cdef uint32_t inbound = <uint32_t>NONE
        cdef uint32_t outbound = <uint32_t>NONE
        cdef Device* device
        cdef idx_t index
        if fact is not None and fact.inbound:
            inbound = self.names.chain_index(fact.inbound)
        if fact is not None and fact.outbound:
            outbound = self.names.chain_index(fact.outbound)
        if key[1] == "port":
            index = self.names.port_index(key[2])
            self._fill_filters(index, fact)
            self.topo.ports[index].inbound_filter = inbound
            self.topo.ports[index].outbound_filter = outbound
            tags.add(self.topo.ports[index].tag)
            if self.topo.ports[index].device != NONE:
                tags.add(self.topo.devices[self.topo.ports[index].device].flood_tag)
            return
        device = &self.topo.devices[self.names.device_index(key[2])]
        device.inbound_filter, device.outbound_filter = inbound, outbound
        tags.add(device.tag)
        tags.add(device.flood_tag)

    cdef int _fill_filters(self, idx_t index, fact) except -1:
        """The port's security groups, and what it may send from."""
        cdef Port* port
        groups = fact.groups if fact is not None else ()
        egress = [self.names.chain_index(f"{group} egress") for group in groups]
        ingress = [self.names.chain_index(f"{group} ingress") for group in groups]
        port = &self.topo.ports[index]
        free_filters(port)
        port.n_groups = <uint32_t>len(groups)
        port.egress_chains = <uint32_t*>copy_indices(egress)
        port.ingress_chains = <uint32_t*>copy_indices(ingress)
        allowed = fact.allowed if fact is not None else ()
        port.allowed_macs = copy_macs([mac for mac, _, _ in allowed])
        return fill_addresses(
            &port.allowed, &port.n_allowed, [(ip, length) for _, ip, length in allowed])


cdef uint8_t* copy_macs(list macs) except? NULL:
    cdef bytes joined = b"".join(macs)
    cdef uint8_t* made
    if not macs:
        return NULL
    made = <uint8_t*>malloc(len(joined))
    if made == NULL:
        raise MemoryError
    memcpy(made, <const uint8_t*>joined, len(joined))
    return made
