"""Bytes <-> flow key."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t

cdef enum Frag:
    FRAG_NO = 0
    FRAG_FIRST = 1
    FRAG_LATER = 2

cdef struct FlowKey:       # what a verdict may depend on; all integers in host order
    uint8_t ip_src[16]     # IPv4 and ARP: the first 4 bytes, the others 0
    uint8_t ip_dst[16]
    uint8_t eth_src[6]
    uint8_t eth_dst[6]
    uint32_t in_port       # index of the virtual port where the packet is
    uint16_t eth_type      # behind the VLAN tag
    uint16_t vlan_tci      # 0: untagged; otherwise 0x1000 | priority << 13 | VLAN id
    uint16_t tp_src        # ICMP: type
    uint16_t tp_dst        # ICMP: code
    uint8_t ip_proto       # ARP: the operation
    uint8_t ip_tos
    uint8_t ip_ttl
    uint8_t ip_frag        # a Frag
    uint16_t tcp_flags     # TCP: the 12 low bits of the flags' word; 0: not TCP
    uint16_t len_class     # which limits the packet is longer than, see limits.py

cdef struct Packet:        # one packet: where its parts are, and its key
    const uint8_t* data    # borrowed
    uint32_t len_bytes
    uint32_t l3_off        # 0: there is no such header
    uint32_t l4_off
    uint32_t l3_len_bytes  # as the IP header states it
    uint8_t arp_sha[6]
    uint8_t arp_tha[6]
    uint8_t nd_target[16]  # ICMPv6 NS and NA: the target address
    uint8_t nd_lladdr[6]   # its link-layer address option
    uint8_t nd_has_lladdr
    uint8_t nd_flags       # NA: 0x80 router, 0x40 solicited, 0x20 override
    uint8_t ipv4_df
    uint8_t has_echo_id    # ICMP echo request or reply, not a later fragment
    uint16_t echo_id       # its identifier; no flow can match or write it
    FlowKey key

cdef enum:                 # ether types, IP protocols, ICMP types
    ETH_ARP = 0x0806
    ETH_IPV4 = 0x0800
    ETH_IPV6 = 0x86dd
    ETH_VLAN = 0x8100
    ETH_QINQ = 0x88a8
    ETH_NONE = 0x05ff      # a length (802.3) stood there instead of a type; OVS calls it so too
    VLAN_PRESENT = 0x1000
    IP_ICMP = 1
    IP_TCP = 6
    IP_UDP = 17
    IP_FRAGMENT = 44       # ip_proto of a later IPv6 fragment: OVS sees no further either
    IP_ICMP6 = 58
    IP_SCTP = 132
    ICMP_ECHO_REPLY = 0
    ICMP_ECHO = 8
    ICMP6_ECHO = 128
    ICMP6_ECHO_REPLY = 129
    ICMP6_NS = 135
    ICMP6_NA = 136
    ARP_REQUEST = 1
    ARP_REPLY = 2

# 0, or the reason why the bytes are no packet (an index into MALFORMED)
cdef int parse(
    Packet* pkt, const uint8_t* data, uint32_t len_bytes, uint32_t in_port,
) noexcept nogil

# What people read. A key: {field: value}, the fields that such a packet has. A match:
# {field: (value, mask)}, the fields that the mask consults.
cdef dict key_view(const FlowKey* key)
cdef dict match_view(const FlowKey* key, const FlowKey* mask)
