"""The virtual topology compiled: facts written into C arrays, tables and tries.

A change goes three steps: (1) `Facts` says which facts came out different; (2) each is written
into its place, and the tag of what it was before is noted; (3) what ports make up together, a
bridge's flood set, is made anew for the devices whose ports changed.
"""

from ipaddress import ip_address, ip_network

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, idx_t, tag_t, uint8_t, uint16_t, uint32_t, uint64_t
from onehop.engine.chain cimport (
    AddressSet, Chain, PortSet, Rule, address_set_fill, chain_clear, chain_fill,
)
from onehop.engine.known cimport (
    ANY_VLAN, PLACE_IS_PORT, WHAT_FREE, WHAT_MAC, Entry, Subject, find, mac_subject, mix,
    neighbor_subject, put as remember, remove as forget,
)
from onehop.engine.layout cimport (
    clear_port, copy_bytes, copy_indices, ensure_tries, fill_addresses, fill_allowed,
    fill_members, free_device, free_filters, free_named, is_active, put_indices, replace_array,
    room_for, set_routes, trie_has,
)
from onehop.engine.route cimport (
    ROUTE_BLACKHOLE, ROUTE_BROADCAST, ROUTE_LOCAL, ROUTE_NORMAL, ROUTE_REJECT, ROUTE_UNROUTABLE,
    Route, Trie, trie_clear, trie_covering, trie_init, trie_set,
)
from onehop.engine.rules cimport make_indices, make_rules

from onehop.engine.effects import MacLearned
from onehop.engine.facts import Facts
from onehop.engine.layout import hash_names
from onehop.engine.limits import limits_of, mark_of
from onehop.engine.model import LearnedMac, Neighbor, Port as PortResource
from onehop.engine.sharing import Sharing

ORDER = (
    "host", "device", "port", "members", "chain", "addresses", "ports", "filters", "mac",
    "neighbor", "prefix", "floating", "block", "pool", "vip",
)
TRANSLATIONS = {"snat", "dnat", "reverse_snat", "reverse_dnat"}
ROUTE_KINDS = {
    "normal": ROUTE_NORMAL, "blackhole": ROUTE_BLACKHOLE, "reject": ROUTE_REJECT,
    "local": ROUTE_LOCAL, "broadcast": ROUTE_BROADCAST,
}
UNROUTABLE = (  # RFC 6890, RFC 4291
    "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4",
    "::/128", "::1/128", "fe80::/10", "ff00::/8",
)


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


cdef class Topology:
    def __cinit__(self):
        self.topo = <Topo*>calloc(1, sizeof(Topo))
        if self.topo == NULL:
            raise MemoryError
        self.port_names, self.device_names, self.host_names = [], [], []
        self._port_index, self._device_index, self._host_index = {}, {}, {}
        self.chain_names = []
        self._chain_index, self._address_set_index, self._port_set_index = {}, {}, {}
        self._facts = Facts()
        self._sharing = Sharing()
        self._via, self._routes = {}, {}
        self._tag_names = {}
        self._blocks = {}
        self._vip_index, self._pool_index = {}, {}
        self._vips, self._pools, self._balanced = {}, {}, {}
        self._jumps, self._translating = {}, set()
        self._forbid()

    def __dealloc__(self):
        cdef uint32_t i
        if self.topo == NULL:
            return
        for i in range(self.topo.n_ports):
            free(self.topo.ports[i].addresses)
            free(self.topo.ports[i].state_hosts)
            free_filters(&self.topo.ports[i])
        for i in range(self.topo.n_devices):
            free_device(&self.topo.devices[i])
        free_named(self.topo)
        free(self.topo.ports)
        free(self.topo.devices)
        free(self.topo.hosts)
        trie_clear(&self.topo.unroutable4)
        trie_clear(&self.topo.unroutable6)
        free(self.topo.known.slots)
        free(self.topo.blocks)
        free(self.topo.vips)
        for i in range(self.topo.n_pools):
            free(self.topo.members[i].members)
            free(self.topo.members[i].slots)
        free(self.topo.members)
        free(self.topo)

    def _forbid(self):
        cdef uint8_t bits[16]
        cdef Route route
        memset(&route, 0, sizeof(Route))
        route.kind = ROUTE_UNROUTABLE
        route.port = NONE
        trie_init(&self.topo.unroutable4, 32)
        trie_init(&self.topo.unroutable6, 128)
        for network in map(ip_network, UNROUTABLE):
            copy_bytes(bits, network.network_address.packed, 16)
            trie_set(
                &self.topo.unroutable4 if network.version == 4 else &self.topo.unroutable6,
                bits, network.prefixlen, 0, &route, 1)

    # --- changes

    def update(self, put, remove=()):
        put, remove = list(put), list(remove)
        tags, touched = set(), set()
        self._write_all(self._facts.change(put, remove), tags, touched)
        self._gather(touched, tags)
        for port, hosts in self._sharing.change(put, remove).items():
            self._share(self.port_index(port), [self.host_index(host) for host in hosts])
        if self._limits_stale:
            self._measure()
        return sorted(tags)

    def _share(self, idx_t port, hosts):
        replace_array(
            &self.topo.ports[port].state_hosts, &self.topo.ports[port].n_state_hosts, hosts)

    def set_host_alive(self, host, alive):
        cdef idx_t index = self.host_index(host)
        tags, touched = set(), set()
        self.topo.hosts[index].alive = bool(alive)
        self._review_host(index, tags, touched)
        self._write_all(self._facts.set_alive(host, alive=bool(alive)), tags, touched)
        self._gather(touched, tags)
        return sorted(tags)

    def learn(self, effect):
        port = self._facts.get(PortResource, effect.port)
        host = port.host if port is not None and port.host else "-"
        if isinstance(effect, MacLearned):
            row = LearnedMac(
                host=host, bridge=effect.bridge, port=effect.port, mac=effect.mac,
                vlan=effect.vlan)
        else:
            row = Neighbor(
                host=host, port=effect.port, address=effect.address, mac=effect.mac)
        return self.update([row])

    def _write_all(self, facts, set tags, set touched):
        for key in sorted(facts, key=lambda key: (ORDER.index(key[0]), repr(key))):
            self._write(key, facts[key], tags, touched)
        if any(key[0] == "block" for key in facts):
            self._place_blocks()
        self._place_vips({key for key in facts if key[0] in ("vip", "pool")}, tags)
        if any(key[0] == "chain" for key in facts):
            self._mark_translating()

    def _write(self, key, fact, set tags, set touched):
        kind = key[0]
        if kind == "host":
            self._write_host(key[1], fact, tags, touched)
        elif kind == "device":
            self._write_device(key[1], fact, tags)
        elif kind == "port":
            self._write_port(key[1], fact, tags, touched)
        elif kind == "members":
            self._write_members(key[1], fact or (), touched)
        elif kind == "chain":
            self._write_chain(key[1], fact, tags)
        elif kind == "addresses":
            self._write_addresses(key[1], fact or (), tags)
        elif kind == "ports":
            self._write_port_set(key[1], fact or (), tags)
        elif kind == "filters":
            self._write_filters(key, fact, tags)
        elif kind == "mac":
            self._write_mac(key, fact, tags)
        elif kind == "neighbor":
            self._write_neighbor(key, fact, tags)
        elif kind == "floating":
            self._write_floating(key, fact, tags)
        elif kind == "pool":
            self._write_pool(key[1], fact or (), tags)
        elif kind == "vip":
            self._write_vip(key[1], fact, tags)
        elif kind == "block":
            self._write_block(key, fact)
        else:
            self._write_prefix(key, fact or (), tags)

    def _write_host(self, name, fact, set tags, set touched):
        cdef idx_t index = self.host_index(name)
        cdef Host* host = &self.topo.hosts[index]
        cdef uint32_t i
        host.used = fact is not None
        if fact is not None:
            host.tunnel_family = 4 if len(fact.tunnel_ip) == 4 else 6
            copy_bytes(host.tunnel_ip, fact.tunnel_ip, 16)
        for i in range(self.topo.n_ports):
            if self.topo.ports[i].host == index:
                tags.add(self.topo.ports[i].tag)
                if self.topo.ports[i].device != NONE:
                    tags.add(self.topo.devices[self.topo.ports[i].device].flood_tag)
        self._review_host(index, tags, touched)

    def _write_device(self, name, fact, set tags):
        cdef Device* device = &self.topo.devices[self.device_index(name)]
        tags.add(device.tag)
        tags.add(device.flood_tag)
        device.kind = DEVICE_NONE
        device.key = 0
        if fact is not None:
            device.kind = DEVICE_ROUTER if fact.is_router else DEVICE_BRIDGE
            device.key = fact.key
            ensure_tries(device)

    def _write_port(self, name, fact, set tags, set touched):
        cdef idx_t index = self.port_index(name)
        cdef Port* port = &self.topo.ports[index]
        self._touch(index, touched)
        tags.add(port.tag)
        tags.update(self._via.get(name, {}).values())
        if port.mtu != (0 if fact is None else fact.mtu):
            self._limits_stale = True
        if fact is None:
            clear_port(port)
        else:
            self._fill_port(index, fact)
        self._touch(index, touched)
        self._review_port(index, tags, touched)

    cdef int _fill_port(self, idx_t index, fact) except -1:
        cdef idx_t device = self.device_index(fact.device)
        cdef idx_t host = NONE if fact.host is None else self.host_index(fact.host)
        cdef idx_t peer = NONE if fact.peer is None else self.port_index(fact.peer)
        cdef uint32_t place = self._place(fact.place)
        cdef Port* port = &self.topo.ports[index]
        port.used = 1
        port.up = fact.up
        port.carrier = fact.carrier
        port.device, port.host, port.peer, port.place = device, host, peer, place
        port.key = fact.key
        port.mtu = fact.mtu
        copy_bytes(port.mac, fact.mac, 6)
        return fill_addresses(port, fact.addresses)

    def _measure(self):
        """List the lengths that matter anew."""
        cdef Port* port
        cdef uint32_t i
        mtus = {self.topo.ports[i].mtu for i in range(self.topo.n_ports)}
        limits = limits_of(mtus - {0})
        for i in range(self.topo.n_ports):
            port = &self.topo.ports[i]
            port.limit = 1 << limits.index(port.mtu) if port.mtu in limits else 0
        for i in range(len(limits)):
            self.topo.limits[i] = limits[i]
        self.topo.n_limits = len(limits)
        self.topo.limits_mark = mark_of(limits)
        self._limits_stale = False

    def _write_members(self, name, names, set touched):
        cdef idx_t device = self.device_index(name)
        members = [self.port_index(member) for member in names]
        replace_array(
            &self.topo.devices[device].ports, &self.topo.devices[device].n_ports, members)
        touched.add(device)

    def _write_chain(self, name, facts, set tags):
        cdef idx_t index = self.chain_index(name)
        cdef Rule* rules
        tags.add(self.topo.chains[index].tag)
        self._note_translations(name, facts or ())
        if facts is None:
            chain_clear(&self.topo.chains[index])
            return
        rules = make_rules(facts, self)
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
        for index, name in enumerate(self.chain_names):
            self.topo.chains[index].translates = name in found

    def _write_addresses(self, name, prefixes, set tags):
        cdef idx_t index = self.address_set_index(name)
        tags.add(self.topo.address_sets[index].tag)
        address_set_fill(&self.topo.address_sets[index], prefixes)

    def _write_port_set(self, name, names, set tags):
        cdef idx_t index = self.port_set_index(name)
        cdef uint32_t n = 0
        cdef idx_t* ports = make_indices(names, self.port_index, &n)
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
            inbound = self.chain_index(fact.inbound)
        if fact is not None and fact.outbound:
            outbound = self.chain_index(fact.outbound)
        if key[1] == "port":
            index = self.port_index(key[2])
            self._fill_filters(index, fact)
            self.topo.ports[index].inbound_filter = inbound
            self.topo.ports[index].outbound_filter = outbound
            tags.add(self.topo.ports[index].tag)
            if self.topo.ports[index].device != NONE:
                tags.add(self.topo.devices[self.topo.ports[index].device].flood_tag)
            return
        device = &self.topo.devices[self.device_index(key[2])]
        device.inbound_filter, device.outbound_filter = inbound, outbound
        tags.add(device.tag)
        tags.add(device.flood_tag)

    cdef int _fill_filters(self, idx_t index, fact) except -1:
        """The port's security groups, and what it may send from."""
        cdef Port* port
        groups = fact.groups if fact is not None else ()
        egress = [self.chain_index(f"{group} egress") for group in groups]
        ingress = [self.chain_index(f"{group} ingress") for group in groups]
        port = &self.topo.ports[index]
        free_filters(port)
        port.n_groups = <uint32_t>len(groups)
        port.egress_chains = <uint32_t*>copy_indices(egress)
        port.ingress_chains = <uint32_t*>copy_indices(ingress)
        return fill_allowed(port, fact.allowed if fact is not None else ())

    def _write_mac(self, key, fact, set tags):
        _, bridge, vlan, mac = key
        cdef Entry entry
        cdef idx_t device = self.device_index(bridge)
        cdef const uint8_t* bytes_ = mac
        memset(&entry, 0, sizeof(Entry))
        entry.subject = mac_subject(device, vlan, bytes_)
        tags.add(mac_tag(&self.topo.devices[device], vlan, bytes_))
        if fact is None:
            forget(&self.topo.known, &entry.subject)
            return
        entry.port = self.port_index(fact.port)
        entry.stated = not fact.learned
        remember(&self.topo.known, &entry)

    def _write_neighbor(self, key, fact, set tags):
        _, place, address = key
        cdef Entry entry
        cdef uint8_t ip[16]
        cdef uint32_t where = self._place(place)
        copy_bytes(ip, address, 16)
        memset(&entry, 0, sizeof(Entry))
        entry.subject = neighbor_subject(where, 4 if len(address) == 4 else 6, ip)
        tags.add(neighbor_tag(self.topo, where, ip))
        if fact is None:
            forget(&self.topo.known, &entry.subject)
            return
        entry.port = NONE
        entry.stated = not fact.learned
        memcpy(entry.mac, <const uint8_t*>fact.mac, 6)
        remember(&self.topo.known, &entry)

    def _write_prefix(self, key, routes, set tags):
        """New routes take from what covered them; a change, from what was there before."""
        _, router, network, length = key
        cdef uint8_t bits[16]
        cdef idx_t index = self.device_index(router)
        cdef Device* device = &self.topo.devices[index]
        cdef tag_t tag = self._tag("route", router, f"{ip_address(network)}/{length}")
        cdef Trie* trie
        copy_bytes(bits, network, 16)
        ensure_tries(device)
        trie = &device.routes4 if len(network) == 4 else &device.routes6
        if key in self._routes:
            tags.add(tag)
        else:
            tags.add(trie_covering(trie, bits, length) or device.no_route_tag)
        set_routes(trie, bits, length, tag, [self._route(route) for route in routes])
        self._note_via(key, {route.port for route in routes if route.port}, tag)
        if not routes:
            del self._routes[key]

    def _write_floating(self, key, other, set tags):
        """A change may concern every packet of the router."""
        _, router, side, address = key
        cdef Device* device = &self.topo.devices[self.device_index(router)]
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
        cdef idx_t index = self.pool_index(name)
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
        index = self.vip_index(name)
        vip = &self.topo.vips[index]
        vip.pool = self.pool_index(fact.pool)
        vip.affinity_s, vip.port, vip.proto = fact.affinity_s, fact.port, fact.proto
        tags.add(vip.tag)

    def _place_vips(self, changed, set tags):
        """The tries of routers with VIPs."""
        if not changed:
            return
        wanted = {}
        for name, fact in sorted(self._vips.items()):
            sides = wanted.setdefault(fact.router, ({}, {}))
            sides[0].setdefault(fact.address, []).append(self.vip_index(name))
            for member in self._pools.get(fact.pool, ()):
                sides[1].setdefault(member.address, [0])
        for router in wanted.keys() | self._balanced.keys():
            self._place_vips_of(router, wanted.get(router, ({}, {})), tags)
        self._balanced = wanted

    def _place_vips_of(self, router, wanted, set tags):
        cdef Device* device = &self.topo.devices[self.device_index(router)]
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
                        wanted[1].get(address, []), device.tag)

    def vip_index(self, name):
        cdef idx_t index = self._vip_index.get(name, self.topo.n_vips)
        if index == self.topo.n_vips:
            self.topo.vips = <Vip*>room_for(self.topo.vips, index, sizeof(Vip))
            memset(&self.topo.vips[index], 0, sizeof(Vip))
            self.topo.vips[index].tag = self._tag("vip", name)
            self.topo.n_vips += 1
            self._vip_index[name] = index
        return index

    def pool_index(self, name):
        cdef idx_t index = self._pool_index.get(name, self.topo.n_pools)
        if index == self.topo.n_pools:
            self.topo.members = <Members*>room_for(self.topo.members, index, sizeof(Members))
            memset(&self.topo.members[index], 0, sizeof(Members))
            self.topo.members[index].tag = self._tag("pool", name)
            self.topo.n_pools += 1
            self._pool_index[name] = index
        return index

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
            (self.host_index(host), address, first, n)
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

    def _note_via(self, key, ports, tag):
        for port in self._routes.get(key, ()):
            del self._via[port][key]
        for port in ports:
            self._via.setdefault(port, {})[key] = tag
        self._routes[key] = ports

    def _route(self, fact):
        cdef idx_t port = self.port_index(fact.port) if fact.port else NONE
        return (
            ROUTE_KINDS[fact.kind], -fact.source_order, fact.source, fact.weight, port,
            fact.gateway, hash_names("next hop", fact.name))

    # --- what follows from several facts

    def _review_host(self, idx_t host, set tags, set touched):
        cdef uint32_t i
        for i in range(self.topo.n_ports):
            if self.topo.ports[i].host == host:
                self._review_port(i, tags, touched)

    cdef int _review_port(self, idx_t index, set tags, set touched) except -1:
        """A port that becomes active is a new choice for each route by way of it."""
        cdef Port* port = &self.topo.ports[index]
        cdef bint active = is_active(self.topo, port)
        if active == port.active:
            return 0
        port.active = active
        tags.add(port.tag)
        self._touch(index, touched)
        if active:
            tags.update(self._via.get(self.port_names[index], {}).values())
        return 0

    cdef int _touch(self, idx_t index, set touched) except -1:
        cdef const Port* port = &self.topo.ports[index]
        if port.device != NONE:
            touched.add(port.device)
        return 0

    def _gather(self, touched, set tags):
        """Make the flood sets of these devices anew."""
        cdef Device* device
        cdef idx_t index
        cdef uint32_t i
        for index in touched:
            device = &self.topo.devices[index]
            exterior, interior, hosts = [], [], set()
            for i in range(device.n_ports):
                self._sort_in(device.ports[i], exterior, interior, hosts)
            changed = replace_array(&device.exterior, &device.n_exterior, exterior)
            changed |= replace_array(&device.interior, &device.n_interior, interior)
            changed |= replace_array(&device.hosts, &device.n_hosts, sorted(hosts))
            if changed:
                tags.add(device.flood_tag)

    cdef int _sort_in(
        self, idx_t index, list exterior, list interior, set hosts,
    ) except -1:
        cdef const Port* port = &self.topo.ports[index]
        if not port.active:
            return 0
        if port.peer != NONE:
            interior.append(index)
        else:
            exterior.append(index)
            hosts.add(port.host)
        return 0

    # --- names

    def port_index(self, name):
        index = self._port_index.get(name)
        return self._add_port(name) if index is None else index

    def device_index(self, name):
        index = self._device_index.get(name)
        return self._add_device(name) if index is None else index

    def host_index(self, name):
        index = self._host_index.get(name)
        return self._add_host(name) if index is None else index

    def chain_index(self, name):
        index = self._chain_index.get(name)
        return self._add_chain(name) if index is None else index

    def address_set_index(self, name):
        index = self._address_set_index.get(name)
        return self._add_address_set(name) if index is None else index

    def port_set_index(self, name):
        index = self._port_set_index.get(name)
        return self._add_port_set(name) if index is None else index

    def port_name(self, idx_t index):
        return self.port_names[index]

    def _add_port(self, name):
        cdef idx_t index = self.topo.n_ports
        self.topo.ports = <Port*>room_for(self.topo.ports, index, sizeof(Port))
        memset(&self.topo.ports[index], 0, sizeof(Port))
        clear_port(&self.topo.ports[index])
        self.topo.ports[index].tag = self._tag("port", name)
        self.topo.n_ports += 1
        self.port_names.append(name)
        self._port_index[name] = index
        return index

    def _add_device(self, name):
        cdef idx_t index = self.topo.n_devices
        cdef Device* device
        self.topo.devices = <Device*>room_for(self.topo.devices, index, sizeof(Device))
        device = &self.topo.devices[index]
        memset(device, 0, sizeof(Device))
        device.tag = self._tag("device", name)
        device.flood_tag = self._tag("flood", name)
        device.no_route_tag = self._tag("no route", name)
        device.inbound_filter = device.outbound_filter = NONE
        self.topo.n_devices += 1
        self.device_names.append(name)
        self._device_index[name] = index
        return index

    def _add_host(self, name):
        cdef idx_t index = self.topo.n_hosts
        self.topo.hosts = <Host*>room_for(self.topo.hosts, index, sizeof(Host))
        memset(&self.topo.hosts[index], 0, sizeof(Host))
        self.topo.hosts[index].alive = 1
        self.topo.n_hosts += 1
        self.host_names.append(name)
        self._host_index[name] = index
        return index

    def _add_chain(self, name):
        cdef idx_t index = self.topo.n_chains
        self.topo.chains = <Chain*>room_for(self.topo.chains, index, sizeof(Chain))
        memset(&self.topo.chains[index], 0, sizeof(Chain))
        self.topo.chains[index].tag = self._tag("chain", name)
        self.topo.n_chains += 1
        self.chain_names.append(name)
        self._chain_index[name] = index
        return index

    def _add_address_set(self, name):
        cdef idx_t index = self.topo.n_address_sets
        self.topo.address_sets = <AddressSet*>room_for(
            self.topo.address_sets, index, sizeof(AddressSet))
        memset(&self.topo.address_sets[index], 0, sizeof(AddressSet))
        self.topo.address_sets[index].tag = self._tag("addresses", name)
        self.topo.n_address_sets += 1
        self._address_set_index[name] = index
        return index

    def _add_port_set(self, name):
        cdef idx_t index = self.topo.n_port_sets
        self.topo.port_sets = <PortSet*>room_for(self.topo.port_sets, index, sizeof(PortSet))
        memset(&self.topo.port_sets[index], 0, sizeof(PortSet))
        self.topo.port_sets[index].tag = self._tag("port group", name)
        self.topo.n_port_sets += 1
        self._port_set_index[name] = index
        return index

    def _place(self, place):
        kind, name = place
        if kind == "device":
            return self.device_index(name)
        return self.port_index(name) | <uint32_t>PLACE_IS_PORT

    def _tag(self, *names):
        tag = hash_names(*names)
        self._tag_names[tag] = " ".join(names)
        return tag

    # --- questions

    def get(self, kind, name):
        return self._facts.resources.get((kind, name))

    @property
    def limits(self):
        return tuple(self.topo.limits[i] for i in range(self.topo.n_limits))

    def is_active(self, port):
        index = self._port_index.get(port)
        return index is not None and bool(self.topo.ports[<idx_t>index].active)

    def ports_of_host(self, host):
        cdef idx_t index = self._host_index.get(host, NONE)
        cdef uint32_t i
        if index == NONE:
            return []
        return sorted(
            self.port_names[i] for i in range(self.topo.n_ports)
            if self.topo.ports[i].host == index)

    def bridge_hosts(self, bridge):
        cdef const Device* device = &self.topo.devices[self.device_index(bridge)]
        return sorted(self.host_names[device.hosts[i]] for i in range(device.n_hosts))

    def neighbor(self, port, address):
        cdef uint8_t ip[16]
        cdef Subject subject
        cdef const Entry* entry
        packed = ip_address(address).packed
        copy_bytes(ip, packed, 16)
        subject = neighbor_subject(
            self.topo.ports[self.port_index(port)].place, 4 if len(packed) == 4 else 6, ip)
        entry = find(&self.topo.known, &subject)
        return None if entry == NULL else (<const uint8_t*>entry.mac)[:6].hex(":")

    def mac_tag(self, bridge, uint16_t vlan, mac):
        packed = bytes.fromhex(mac.replace(":", ""))
        return mac_tag(
            &self.topo.devices[self.device_index(bridge)], vlan, <const uint8_t*>packed)

    def neighbor_tag(self, port, address):
        cdef uint8_t ip[16]
        copy_bytes(ip, ip_address(address).packed, 16)
        return neighbor_tag(self.topo, self.topo.ports[self.port_index(port)].place, ip)

    def tag_name(self, tag):
        name = self._tag_names.get(tag)
        return self._entry_name(tag) if name is None else name

    def _entry_name(self, tag_t tag):
        """The name of an entry of the table of addresses, or the tag's own digits."""
        cdef const Entry* entry
        cdef const Subject* about
        cdef uint32_t i
        for i in range(self.topo.known.mask + 1 if self.topo.known.slots else 0):
            entry = &self.topo.known.slots[i]
            about = &entry.subject
            if about.what != WHAT_FREE and self._entry_tag(about) == tag:
                return self._subject_name(about)
        return f"{tag:016x}"

    cdef tag_t _entry_tag(self, const Subject* about) noexcept:
        if about.what == WHAT_MAC:
            return mac_tag(&self.topo.devices[about.place], about.detail, about.bytes)
        return neighbor_tag(self.topo, about.place, about.bytes)

    cdef str _subject_name(self, const Subject* about):
        if about.what == WHAT_MAC:
            vlan = "" if about.detail == ANY_VLAN else f" {about.detail}"
            return f"mac {self.device_names[about.place]}{vlan} {about.bytes[:6].hex(':')}"
        address = ip_address(about.bytes[:4] if about.detail == 4 else about.bytes[:16])
        return f"neighbor {self.place_name(about.place)} {address}"

    cdef str place_name(self, uint32_t place):
        if place & PLACE_IS_PORT:
            return self.port_names[place & ~<uint32_t>PLACE_IS_PORT]
        return self.device_names[place]
