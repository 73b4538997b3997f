"""Who is who in the compiled topology: names, indices and tags."""

from hashlib import blake2b
from ipaddress import ip_address

from libc.stdlib cimport calloc
from libc.string cimport memcpy

from onehop.engine.cdefs cimport NONE, uint64_t
from onehop.engine.chain cimport AddressSet, Chain, PortSet
from onehop.engine.known cimport (
    ANY_VLAN, PLACE_IS_PORT, WHAT_FREE, WHAT_MAC, Entry, mix,
)
from onehop.engine.layout cimport clear_port, free_topo, grown
from onehop.engine.topology cimport Host, Members, Port, Vip


def hash_names(*names):
    """64 bits that are the same on every host."""
    text = "\0".join(names).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") or 1


cdef tag_t mac_tag(const Device* bridge, uint16_t vlan, const uint8_t* mac) noexcept nogil:
    cdef uint64_t word = 0
    memcpy(&word, mac, 6)
    return mix(bridge.tag, mix(word, vlan))


cdef tag_t neighbor_tag(const Topo* topo, uint32_t place, const uint8_t* ip) noexcept nogil:
    cdef uint64_t words[2]
    cdef tag_t owner
    memcpy(words, ip, 16)
    if place & PLACE_IS_PORT:
        owner = topo.ports[place & ~<uint32_t>PLACE_IS_PORT].tag
    else:
        owner = topo.devices[place].tag
    return mix(owner + 1, mix(words[0], words[1]))


cdef class Names:
    def __cinit__(self):
        self.topo = <Topo*>calloc(1, sizeof(Topo))
        if self.topo == NULL:
            raise MemoryError
        self.ports, self.devices, self.hosts, self.chains = [], [], [], []
        self._ports, self._devices, self._hosts, self._chains = {}, {}, {}, {}
        self._address_sets, self._port_sets, self._vips, self._pools = {}, {}, {}, {}
        self._tags = {}

    def __dealloc__(self):
        if self.topo != NULL:
            free_topo(self.topo)

    # --- indices

    def port_index(self, name):
        cdef idx_t index = self.topo.n_ports
        if name in self._ports:
            return self._ports[name]
        self.topo.ports = <Port*>grown(self.topo.ports, &self.topo.n_ports, sizeof(Port))
        clear_port(&self.topo.ports[index])
        self.topo.ports[index].tag = self.tag("port", name)
        self.ports.append(name)
        self._ports[name] = index
        return index

    def device_index(self, name):
        cdef idx_t index = self.topo.n_devices
        cdef Device* device
        if name in self._devices:
            return self._devices[name]
        self.topo.devices = <Device*>grown(
            self.topo.devices, &self.topo.n_devices, sizeof(Device))
        device = &self.topo.devices[index]
        device.tag = self.tag("device", name)
        device.flood_tag = self.tag("flood", name)
        device.no_route_tag = self.tag("no route", name)
        device.inbound_filter = device.outbound_filter = NONE
        self.devices.append(name)
        self._devices[name] = index
        return index

    def host_index(self, name):
        cdef idx_t index = self.topo.n_hosts
        if name in self._hosts:
            return self._hosts[name]
        self.topo.hosts = <Host*>grown(self.topo.hosts, &self.topo.n_hosts, sizeof(Host))
        self.topo.hosts[index].alive = 1
        self.hosts.append(name)
        self._hosts[name] = index
        return index

    def chain_index(self, name):
        cdef idx_t index = self.topo.n_chains
        if name in self._chains:
            return self._chains[name]
        self.topo.chains = <Chain*>grown(self.topo.chains, &self.topo.n_chains, sizeof(Chain))
        self.topo.chains[index].tag = self.tag("chain", name)
        self.chains.append(name)
        self._chains[name] = index
        return index

    def address_set_index(self, name):
        cdef idx_t index = self.topo.n_address_sets
        if name in self._address_sets:
            return self._address_sets[name]
        self.topo.address_sets = <AddressSet*>grown(
            self.topo.address_sets, &self.topo.n_address_sets, sizeof(AddressSet))
        self.topo.address_sets[index].tag = self.tag("addresses", name)
        self._address_sets[name] = index
        return index

    def port_set_index(self, name):
        cdef idx_t index = self.topo.n_port_sets
        if name in self._port_sets:
            return self._port_sets[name]
        self.topo.port_sets = <PortSet*>grown(
            self.topo.port_sets, &self.topo.n_port_sets, sizeof(PortSet))
        self.topo.port_sets[index].tag = self.tag("port group", name)
        self._port_sets[name] = index
        return index

    def vip_index(self, name):
        cdef idx_t index = self.topo.n_vips
        if name in self._vips:
            return self._vips[name]
        self.topo.vips = <Vip*>grown(self.topo.vips, &self.topo.n_vips, sizeof(Vip))
        self.topo.vips[index].tag = self.tag("vip", name)
        self._vips[name] = index
        return index

    def pool_index(self, name):
        cdef idx_t index = self.topo.n_pools
        if name in self._pools:
            return self._pools[name]
        self.topo.members = <Members*>grown(
            self.topo.members, &self.topo.n_pools, sizeof(Members))
        self.topo.members[index].tag = self.tag("pool", name)
        self._pools[name] = index
        return index

    def place(self, place):
        """Of ("device" or "port", name): see known.pxd."""
        kind, name = place
        if kind == "device":
            return self.device_index(name)
        return self.port_index(name) | <uint32_t>PLACE_IS_PORT

    # --- tags

    def tag(self, *names):
        found = hash_names(*names)
        self._tags[found] = " ".join(names)
        return found

    def of_tag(self, tag):
        """A tag in words; those of MACs and neighbors only where an entry exists."""
        return self._tags[tag] if tag in self._tags else self._entry_name(tag)

    def _entry_name(self, tag_t tag):
        """The name of an entry of the table of addresses, or the tag's own digits."""
        cdef const Entry* entry
        cdef uint32_t i
        for i in range(self.topo.known.mask + 1 if self.topo.known.slots else 0):
            entry = &self.topo.known.slots[i]
            if entry.subject.what != WHAT_FREE and self._entry_tag(&entry.subject) == tag:
                return self._subject_name(&entry.subject)
        return f"{tag:016x}"

    cdef tag_t _entry_tag(self, const Subject* about) noexcept:
        if about.what == WHAT_MAC:
            return mac_tag(&self.topo.devices[about.place], about.detail, about.bytes)
        return neighbor_tag(self.topo, about.place, about.bytes)

    cdef str _subject_name(self, const Subject* about):
        if about.what == WHAT_MAC:
            vlan = "" if about.detail == ANY_VLAN else f" {about.detail}"
            return f"mac {self.devices[about.place]}{vlan} {about.bytes[:6].hex(':')}"
        address = ip_address(about.bytes[:4] if about.detail == 4 else about.bytes[:16])
        return f"neighbor {self.place_name(about.place)} {address}"

    cdef str place_name(self, uint32_t place):
        if place & PLACE_IS_PORT:
            return self.ports[place & ~<uint32_t>PLACE_IS_PORT]
        return self.devices[place]
