"""Routes written into the tries of routers."""

from functools import lru_cache
from ipaddress import ip_network

from libc.string cimport memset

from onehop.engine.cdefs cimport NONE, idx_t, tag_t, uint8_t
from onehop.engine.layout cimport copy_bytes, ensure_tries, set_routes
from onehop.engine.route cimport (
    ROUTE_BLACKHOLE, ROUTE_BROADCAST, ROUTE_LOCAL, ROUTE_NORMAL, ROUTE_POOL, ROUTE_REJECT,
    ROUTE_UNROUTABLE, Route, Trie, trie_covering, trie_init, trie_set,
)
from onehop.engine.topology cimport Device

from onehop.engine.address import written
from onehop.engine.names import hash_names

ROUTE_KINDS = {
    "normal": ROUTE_NORMAL, "blackhole": ROUTE_BLACKHOLE, "reject": ROUTE_REJECT,
    "local": ROUTE_LOCAL, "broadcast": ROUTE_BROADCAST, "pool": ROUTE_POOL,
}
UNROUTABLE = (  # RFC 6890, RFC 4291
    "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4",
    "::/128", "::1/128", "fe80::/10", "ff00::/8",
)


cdef class Prefixes:
    def __cinit__(self, Names names):
        self.names, self.topo = names, names.topo
        self._via, self._routes = {}, {}
        self._forbid()

    def by_way_of(self, port):
        """The tags of the prefixes with routes by way of it."""
        return self._via.get(port, {}).values()

    def write(self, key, routes, set tags):
        """New routes take from what covered them; a change, from what was there before."""
        _, router, network, length = key
        cdef uint8_t bits[16]
        cdef idx_t index = self.names.device_index(router)
        cdef Device* device = &self.topo.devices[index]
        cdef tag_t tag = self.names.tag("route", router, f"{written(network)}/{length}")
        cdef Trie* trie
        copy_bytes(bits, network, 16)
        ensure_tries(device)
        trie = &device.routes4 if len(network) == 4 else &device.routes6
        if key in self._routes:
            tags.add(tag)
        else:
            tags.add(trie_covering(trie, bits, length) or device.no_route_tag)
        set_routes(trie, bits, length, tag, [self._route(route) for route in routes])
        self._note_via(key, tuple({route.port for route in routes if route.port}), tag)
        if not routes:
            del self._routes[key]

    def _note_via(self, key, ports, tag):
        for port in self._routes.get(key, ()):
            del self._via[port][key]
        for port in ports:
            self._via.setdefault(port, {})[key] = tag
        self._routes[key] = ports

    def _route(self, fact):
        cdef idx_t port = self.names.port_index(fact.port) if fact.port else NONE
        return (
            ROUTE_KINDS[fact.kind], -fact.source_order, fact.source, fact.weight, port,
            fact.gateway, seed_of(fact.name))

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


@lru_cache(maxsize=1024)
def seed_of(next_hop):
    """Many routes have the same."""
    return hash_names("next hop", next_hop)
