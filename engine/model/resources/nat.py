"""Addresses that are translated without state."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from onehop.engine.model.resources.base import AddressText, MadeName, Ref, Stated


class FloatingIp(Stated, frozen=True):
    """An address that a router translates to a machine's, one to one, both ways."""

    KIND: ClassVar[str] = "floating_ip"
    PLURAL: ClassVar[str] = "floating_ips"
    router: Annotated[str, Ref("router")]
    address: AddressText
    fixed_address: AddressText
    name: MadeName = ""  # made from the other fields when empty

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", f"{self.router} {self.address}")
