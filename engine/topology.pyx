"""The virtual topology compiled: facts written into C arrays, tables and tries.

A change goes three steps: (1) `Facts` says which facts came out different; (2) each is written
into its place, and the tag of what it was before is noted; (3) what ports make up together, a
bridge's flood set, is made anew for the devices whose ports changed.
"""

from ipaddress import ip_address

from libc.string cimport memcpy, memset

from onehop.engine.cdefs cimport NONE, idx_t, uint8_t, uint16_t, uint32_t
from onehop.engine.known cimport (
    Entry, Subject, find, mac_subject, neighbor_subject, put as remember, remove as forget,
)
from onehop.engine.layout cimport (
    clear_port, copy_bytes, ensure_tries, fill_addresses, fill_lease, replace_array,
)
from onehop.engine.names cimport Names, mac_tag, neighbor_tag
from onehop.engine.policies cimport Policies
from onehop.engine.prefixes cimport Prefixes
from onehop.engine.services cimport Services

from onehop.engine.effects import MacLearned
from onehop.engine.facts import Facts
from onehop.engine.limits import limits_of, mark_of
from onehop.engine.model import LearnedMac, Neighbor, Port as PortResource
from onehop.engine.policies import POLICIES
from onehop.engine.services import SERVICES
from onehop.engine.sharing import Sharing

ETHERNET_MTU = 1500
LEAST_MTU = 576  # RFC 791
ORDER = (
    "host", "device", "port", "members", "chain", "addresses", "ports", "filters", "mac",
    "neighbor", "prefix", "floating", "block", "pool", "vip", "lease",
)


cdef class Topology:
    def __cinit__(self):
        self.names = Names()
        self.topo = (<Names>self.names).topo
        self._policies, self._services = Policies(self.names), Services(self.names)
        self._prefixes = Prefixes(self.names)
        self.topo.underlay_mtu = ETHERNET_MTU
        self._facts = Facts()
        self._sharing = Sharing()

    # --- changes

    def update(self, put, remove=()):
        put, remove = list(put), list(remove)
        tags, touched = set(), set()
        self._write_all(self._facts.change(put, remove), tags, touched)
        self._gather(touched, tags)
        for port, hosts in self._sharing.change(put, remove).items():
            self._share(
                self.names.port_index(port), [self.names.host_index(host) for host in hosts])
        if self._limits_stale:
            self._measure()
        return sorted(tags)

    def _share(self, idx_t port, hosts):
        replace_array(
            &self.topo.ports[port].state_hosts, &self.topo.ports[port].n_state_hosts, hosts)

    def set_host_alive(self, host, alive):
        cdef idx_t index = self.names.host_index(host)
        tags, touched = set(), set()
        self.topo.hosts[index].alive = bool(alive)
        self._review_host(index, tags, touched)
        self._write_all(self._facts.set_alive(host, alive=bool(alive)), tags, touched)
        self._gather(touched, tags)
        return sorted(tags)

    def set_underlay_mtu(self, mtu):
        self.topo.underlay_mtu = max(LEAST_MTU, min(mtu, 0xffff))

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
        kinds = {}
        for key in facts:
            kinds.setdefault(key[0], []).append(key)
        for kind in sorted(kinds, key=ORDER.index):
            for key in sorted(kinds[kind]):
                self._write(key, facts[key], tags, touched)
        self._services.settle(set(kinds), tags)
        self._policies.settle(set(kinds))

    def _write(self, key, fact, set tags, set touched):
        kind = key[0]
        if kind in POLICIES:
            self._policies.write(key, fact, tags)
        elif kind in SERVICES:
            self._services.write(key, fact, tags)
        elif kind == "prefix":
            self._prefixes.write(key, fact or (), tags)
        elif kind == "host":
            self._write_host(key[1], fact, tags, touched)
        elif kind == "device":
            self._write_device(key[1], fact, tags)
        elif kind == "port":
            self._write_port(key[1], fact, tags, touched)
        elif kind == "members":
            self._write_members(key[1], fact or (), touched)
        elif kind == "lease":
            self._write_lease(key[1], key[2], fact, tags)
        elif kind == "mac":
            self._write_mac(key, fact, tags)
        else:
            self._write_neighbor(key, fact, tags)

    def _write_host(self, name, fact, set tags, set touched):
        cdef idx_t index = self.names.host_index(name)
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
        cdef Device* device = &self.topo.devices[self.names.device_index(name)]
        tags.add(device.tag)
        tags.add(device.flood_tag)
        device.kind = DEVICE_NONE
        device.key = 0
        if fact is not None:
            device.kind = DEVICE_ROUTER if fact.is_router else DEVICE_BRIDGE
            device.key = fact.key
            ensure_tries(device)

    def _write_port(self, name, fact, set tags, set touched):
        cdef idx_t index = self.names.port_index(name)
        cdef Port* port = &self.topo.ports[index]
        self._touch(index, touched)
        tags.add(port.tag)
        tags.update(self._prefixes.by_way_of(name))
        if port.mtu != (0 if fact is None else fact.mtu):
            self._limits_stale = True
        if fact is None:
            clear_port(port)
        else:
            self._fill_port(index, fact)
        self._touch(index, touched)
        self._review_port(index, tags, touched)

    cdef int _fill_port(self, idx_t index, fact) except -1:
        cdef idx_t device = self.names.device_index(fact.device)
        cdef idx_t host = NONE if fact.host is None else self.names.host_index(fact.host)
        cdef idx_t peer = NONE if fact.peer is None else self.names.port_index(fact.peer)
        cdef uint32_t place = self.names.place(fact.place)
        cdef Port* port = &self.topo.ports[index]
        port.used = 1
        port.up = fact.up
        port.carrier = fact.carrier
        port.device, port.host, port.peer, port.place = device, host, peer, place
        port.key = fact.key
        port.mtu = fact.mtu
        copy_bytes(port.mac, fact.mac, 6)
        return fill_addresses(&port.addresses, &port.n_addresses, fact.addresses)

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
        cdef idx_t device = self.names.device_index(name)
        members = [self.names.port_index(member) for member in names]
        replace_array(
            &self.topo.devices[device].ports, &self.topo.devices[device].n_ports, members)
        touched.add(device)

    def _write_mac(self, key, fact, set tags):
        _, bridge, vlan, mac = key
        cdef Entry entry
        cdef idx_t device = self.names.device_index(bridge)
        cdef const uint8_t* bytes_ = mac
        memset(&entry, 0, sizeof(Entry))
        entry.subject = mac_subject(device, vlan, bytes_)
        tags.add(mac_tag(&self.topo.devices[device], vlan, bytes_))
        if fact is None:
            forget(&self.topo.known, &entry.subject)
            return
        entry.port = self.names.port_index(fact.port)
        entry.stated = not fact.learned
        remember(&self.topo.known, &entry)

    def _write_neighbor(self, key, fact, set tags):
        _, place, address = key
        cdef Entry entry
        cdef uint8_t ip[16]
        cdef uint32_t where = self.names.place(place)
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

    def _write_lease(self, name, family, fact, set tags):
        cdef Port* port = &self.topo.ports[self.names.port_index(name)]
        fill_lease(&port.lease4 if family == 4 else &port.lease6, fact)
        tags.add(port.tag)

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
            tags.update(self._prefixes.by_way_of(self.names.ports[index]))
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

    # --- questions

    def get(self, kind, name):
        return self._facts.resources.get((kind, name))

    @property
    def limits(self):
        return tuple(self.topo.limits[i] for i in range(self.topo.n_limits))

    def is_active(self, port):
        cdef idx_t index = self.names.port_index(port)
        return bool(self.topo.ports[index].active)

    def ports_of_host(self, host):
        cdef idx_t index = self.names.host_index(host)
        cdef uint32_t i
        return sorted(
            self.names.ports[i] for i in range(self.topo.n_ports)
            if self.topo.ports[i].host == index)

    def bridge_hosts(self, bridge):
        cdef const Device* device = &self.topo.devices[self.names.device_index(bridge)]
        return sorted(self.names.hosts[device.hosts[i]] for i in range(device.n_hosts))

    def neighbor(self, port, address):
        cdef uint8_t ip[16]
        cdef Subject subject
        cdef const Entry* entry
        packed = ip_address(address).packed
        copy_bytes(ip, packed, 16)
        subject = neighbor_subject(
            self.topo.ports[self.names.port_index(port)].place, 4 if len(packed) == 4 else 6, ip)
        entry = find(&self.topo.known, &subject)
        return None if entry == NULL else (<const uint8_t*>entry.mac)[:6].hex(":")

    def mac_tag(self, bridge, uint16_t vlan, mac):
        packed = bytes.fromhex(mac.replace(":", ""))
        return mac_tag(
            &self.topo.devices[self.names.device_index(bridge)], vlan, <const uint8_t*>packed)

    def neighbor_tag(self, port, address):
        cdef uint8_t ip[16]
        copy_bytes(ip, ip_address(address).packed, 16)
        return neighbor_tag(self.topo, self.topo.ports[self.names.port_index(port)].place, ip)


cdef bint is_active(const Topo* topo, const Port* port) noexcept:
    if not port.used or not port.up:
        return False
    if port.peer != NONE:
        return True
    if port.host == NONE:
        return False
    return port.carrier and topo.hosts[port.host].used and topo.hosts[port.host].alive
