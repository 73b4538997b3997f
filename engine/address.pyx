"""Addresses and prefixes as text -> bytes, fast: a load reads some for nearly every object.

What the C library does not read goes to `ipaddress`, which reads it or says what is wrong.
"""

from ipaddress import ip_address, ip_interface, ip_network

from libc.string cimport memset

from onehop.engine.cdefs cimport uint8_t, uint32_t

cdef extern from "<arpa/inet.h>" nogil:
    int AF_INET
    int AF_INET6
    int inet_pton(int family, const char* text, void* ip)


def packed(str text):
    cdef uint8_t[16] ip
    cdef uint32_t len_bytes = read(text, ip)
    return ip[:len_bytes] if len_bytes else ip_address(text).packed


def interface(str text):
    cdef uint8_t[16] ip
    cdef uint32_t len_bytes
    address, slash, bits = text.partition("/")
    len_bytes = read(address, ip)
    if len_bytes and not slash:
        return ip[:len_bytes], len_bytes * 8
    if len_bytes and bits.isascii() and bits.isdigit() and int(bits) <= len_bytes * 8:
        return ip[:len_bytes], int(bits)
    read_slowly = ip_interface(text)
    return read_slowly.packed, read_slowly.network.prefixlen


def prefix(str text):
    found = interface(text)
    if masked(*found) != found[0]:
        ip_network(text)
    return found


def masked(bytes ip, uint32_t bits):
    cdef uint8_t[16] out
    cdef const uint8_t* given = ip
    cdef uint32_t at = 0
    cdef uint32_t len_bytes = <uint32_t>len(ip)
    memset(out, 0, 16)
    for at in range(min(len_bytes, (bits + 7) // 8)):
        out[at] = given[at] if bits >= 8 * (at + 1) else given[at] & <uint8_t>(
            0xff00 >> (bits & 7))
    return out[:len_bytes]


def written(bytes ip):
    cdef const uint8_t* given = ip
    if len(ip) != 4:
        return str(ip_address(ip))
    return f"{given[0]}.{given[1]}.{given[2]}.{given[3]}"


cdef uint32_t read(str text, uint8_t* ip) except? 0xffffffff:
    """How many bytes it has; 0: this is not how an address is mostly written."""
    cdef bytes plain
    if not text.isascii() or "\0" in text:
        return 0
    plain = text.encode()
    if inet_pton(AF_INET6 if b":" in plain else AF_INET, plain, ip) != 1:
        return 0
    return 16 if b":" in plain else 4
