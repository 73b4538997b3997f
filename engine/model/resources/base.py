"""What resources are made of: the types of their fields, and what is said when one is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import msgspec

PLACES = 1 << 14  # of health monitors: each has two tunnel keys above those of what is stated
# A VXLAN network identifier has 24 bits (RFC 7348, section 5).
MAX_KEY = (1 << 24) - 1 - 2 * PLACES
MAC = r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._:/@-]{0,198}[A-Za-z0-9])?$"
TENANT = r"^([A-Za-z0-9]([A-Za-z0-9._:/@-]{0,198}[A-Za-z0-9])?)?$"
# Of what names itself: "edge 10.0.0.0/8 reject".
MADE_NAME = r"^([A-Za-z0-9]([ -~]{0,998}[!-~])?)?$"

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
TenantName = Annotated[str, msgspec.Meta(pattern=TENANT)]
MadeName = Annotated[str, msgspec.Meta(pattern=MADE_NAME)]
MacText = Annotated[str, msgspec.Meta(pattern=MAC, extra={"check": "mac"})]
AddressText = Annotated[str, msgspec.Meta(extra={"check": "address"})]  # 10.0.0.5
InterfaceText = Annotated[str, msgspec.Meta(extra={"check": "interface"})]  # 10.0.0.5/24
PrefixText = Annotated[str, msgspec.Meta(extra={"check": "prefix"})]  # 10.0.0.0/24
MacBits = Annotated[str, msgspec.Meta(pattern=MAC)]  # of one machine or of many, or a mask
EtherTypeText = Annotated[str | int, msgspec.Meta(extra={"check": "ether_type"})]  # "ipv4", 0x806
ProtocolText = Annotated[str | int, msgspec.Meta(extra={"check": "protocol"})]  # "tcp", 47
PortsText = Annotated[str | int, msgspec.Meta(extra={"check": "ports"})]  # 80, "1000-2000"
PathText = Annotated[str, msgspec.Meta(extra={"check": "path"})]  # /health
Octet = Annotated[int, msgspec.Meta(ge=0, le=255)]
L4Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
OPERATORS = msgspec.Meta(extra={"operators": True})  # of a field that no tenant may state
TunnelKey = Annotated[int, msgspec.Meta(ge=0, le=MAX_KEY), OPERATORS]
Asn = Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]
PortMtu = Annotated[int, msgspec.Meta(ge=68, le=65535)]  # RFC 791
Weight = Annotated[int, msgspec.Meta(ge=1, le=65535)]


def Ref(  # noqa: N802 (an annotation, like Meta)
    *kinds: str,
    owned: bool = False,
    shared: tuple[str, ...] | None = None,
    operators: bool = False,
) -> msgspec.Meta:
    """Mark a field as the name of a resource of one of `kinds`.

    What a tenant has may name what it has itself, and what others share of the kinds in `shared`
    (None: of all).  In an `operators` field it may name anything, but no tenant states it.  State
    is `owned` by what it names.
    """
    shared = kinds if shared is None else shared
    extra = {"ref": kinds, "owned": owned, "shared": shared, "operators": operators}
    return msgspec.Meta(extra=extra)


class Problem(NamedTuple):
    """One thing wrong with a topology."""

    kind: str  # "port"
    name: str  # the resource's name, or "" where it has none yet
    field: str  # the field's name, or "" where the whole resource is meant
    reason: str

    def __str__(self) -> str:
        where = f"{self.kind} {self.name!r}" if self.name else self.kind
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


class ModelError(ValueError):
    """A topology that was refused, with every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all kinds share."""

    KIND: ClassVar[str] = "resource"
    PLURAL: ClassVar[str] = "resources"
    LEASED: ClassVar[bool] = False  # of state: the first host that claims it has it

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...


class Stated(Resource, frozen=True, kw_only=True):
    """What all kinds that users state share."""

    FOR_TENANTS: ClassVar[bool] = True  # whether a tenant may have one

    tenant: TenantName = ""  # whose it is; "": the operator's
    shared: Annotated[bool, OPERATORS] = False  # whether what other tenants have may name it


class Part(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What several resources of one kind are made of: it has no name, but a place in a list."""
