"""Where a store is: one address for clients and servers, "unix:PATH" or "tcp:ADDRESS:PORT".

"tcp:[ADDRESS]:PORT" with an IPv6 address.  A relative path is the caller's, whatever directory
Open vSwitch's programs and library would take it to be in.
"""

from __future__ import annotations

import pathlib
import re

from onehop.controller.errors import InputError

ADDRESS = re.compile(r"unix:(?P<path>[^,]+)|tcp:(?P<ip>[^:\[\],]+|\[[^\],]+\]):(?P<port>[0-9]+)")


def check_addresses(remote: str) -> None:
    """Refuse what is not one address or several with commas."""
    for address in remote.split(","):
        _match(address)


def absolute(remote: str) -> str:
    """One address or several with commas, with whole paths; refuses what is none."""
    return ",".join(
        f"unix:{pathlib.Path(path).absolute()}" if (path := socket_path(address)) else address
        for address in remote.split(",")
    )


def socket_path(address: str) -> str | None:
    """The path of a unix socket, None for other addresses."""
    return _match(address)["path"]


def listening(address: str) -> str:
    """What a server listens at for the clients of `address`."""
    match = _match(absolute(address))
    return f"punix:{match['path']}" if match["path"] else f"ptcp:{match['port']}:{match['ip']}"


def _match(address: str) -> re.Match[str]:
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{address!r} is not an address like unix:PATH or tcp:ADDRESS:PORT")
    return match
