"""Packets that the network itself sends: ARP, ND, echo replies, ICMP errors.

Each function writes one whole frame at `out` and returns its length; 0 means that it was not
written: no room, or the packet cannot be answered (its bytes are unknown, or it is a fragment).
An answer carries the VLAN tag of the packet that it answers, and reads that packet as its key
says that it is now, not as it came.
"""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t
from onehop.engine.packet cimport Packet

cdef enum IcmpError:  # ICMP type/code, ICMPv6 type/code
    NO_ROUTE = 0  # 3/0, 1/0
    HOST_UNREACHABLE = 1  # 3/1, 1/3
    PROHIBITED = 2  # 3/13, 1/1
    TTL_EXCEEDED = 3  # 11/0, 3/0
    TOO_BIG = 4  # 3/4, 2/0; says the MTU
    PORT_UNREACHABLE = 5  # 3/3, 1/4

# "Who has target_ip?" from src_mac, src_ip. Broadcast, or the solicited-node group.
cdef uint32_t arp_request(
    uint8_t* out, uint32_t room_bytes, const uint8_t* src_mac, const uint8_t* src_ip,
    const uint8_t* target_ip, uint16_t vlan_tci,
) noexcept nogil
cdef uint32_t nd_solicit(
    uint8_t* out, uint32_t room_bytes, const uint8_t* src_mac, const uint8_t* src_ip,
    const uint8_t* target_ip, uint16_t vlan_tci,
) noexcept nogil

# The answer to an ARP request or to a neighbor solicitation: its target is at `mac`.
cdef uint32_t arp_reply(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* mac,
) noexcept nogil
cdef uint32_t nd_advert(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* mac, bint is_router,
) noexcept nogil

# The reply to an ICMP or ICMPv6 echo request, back to the MAC and the address that it came from.
cdef uint32_t icmp_echo_reply(
    uint8_t* out, uint32_t room_bytes, const Packet* request, const uint8_t* src_mac,
) noexcept nogil

# Whether RFC 1812 (4.3.2.7) and RFC 4443 (2.4 e) let a router send an error about this packet.
cdef bint may_send_error(const Packet* pkt) noexcept nogil

# The Ethernet header, with a tag where vlan_tci is not 0; its length.
cdef uint32_t put_ethernet(
    uint8_t* out, const uint8_t* dst_mac, const uint8_t* src_mac, uint16_t vlan_tci,
    uint16_t eth_type,
) noexcept nogil

# The IPv6 header before `icmp_bytes` of ICMPv6, and both checksums; the length of all.
cdef uint32_t put_ipv6(
    uint8_t* ip, const uint8_t* src, const uint8_t* dst, uint8_t hop_limit, uint32_t icmp_bytes,
) noexcept nogil

# An error about `pkt` from src_ip at src_mac, to its sender by way of dst_mac.
cdef uint32_t icmp_error(
    uint8_t* out, uint32_t room_bytes, const Packet* pkt, IcmpError error, uint32_t mtu,
    const uint8_t* src_ip, const uint8_t* src_mac, const uint8_t* dst_mac,
) noexcept nogil
