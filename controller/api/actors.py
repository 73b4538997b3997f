"""Who asks: what an authenticator makes of a request, and what such an actor may see and change.

1. An *admin* may everything.  A *tenant* has what names its tenant: it sees that and what is
   shared, and changes that alone.  A *reader* changes nothing; one with a tenant sees what the
   tenant sees.
2. State is seen by the tenant that has all that it is about, hosts apart.
3. Names belong to everybody: what is there but not seen cannot be made a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

from onehop.controller.api.problems import RefusedError
from onehop.controller.objects import Ident, MissingError
from onehop.engine.model import Resource
from onehop.engine.model.resources.base import Stated
from onehop.engine.model.values import fields_of, references

Role = Literal["admin", "tenant", "reader"]
Held = Mapping[Ident, Resource]


class Actor(NamedTuple):
    """Somebody who may use the API."""

    name: str
    role: Role
    tenant: str = ""  # "": the operator

    def sees(self, resource: Resource, held: Held) -> bool:
        """Whether the resource is there for this actor; `held` has what it names."""
        if not self.tenant:
            return True
        if isinstance(resource, Stated):
            return resource.shared or resource.tenant == self.tenant
        about = [ref for ref in references(resource) if "host" not in ref.kinds]
        named = [held.get((kind, ref.name)) for ref in about for kind in ref.kinds]
        return bool(about) and all(getattr(one, "tenant", "") == self.tenant for one in named)

    def agree_to_change(self, resource: Resource, held: Held) -> None:
        """Refuse where this actor may not change what is there."""
        if not self.sees(resource, held):
            raise MissingError((resource.KIND, resource.name))
        if self.tenant and getattr(resource, "tenant", "") != self.tenant:
            reason = f"{resource.KIND} {resource.name!r} is not of tenant {self.tenant!r}"
            raise RefusedError(403, reason)

    def made_of(self, wanted: Resource, before: Resource | None) -> Resource:
        """What `wanted` is when this actor states it where `before` was."""
        if not self.tenant or not isinstance(wanted, Stated):
            return wanted
        if not wanted.FOR_TENANTS:
            raise RefusedError(403, f"no tenant has a {wanted.KIND}")
        if wanted.tenant not in ("", self.tenant):
            self._refuse(wanted, "tenant")
        kept = {"tenant": self.tenant}
        defaults = {f.name: f.default for f in msgspec.structs.fields(wanted)}
        for field in (field.name for field in fields_of(type(wanted)) if field.operators):
            held = defaults[field] if before is None else getattr(before, field)
            if getattr(wanted, field) not in (held, defaults[field]):
                self._refuse(wanted, field)
            kept[field] = held
        return msgspec.structs.replace(wanted, **kept)

    def _refuse(self, wanted: Resource, field: str) -> None:
        reason = f"{wanted.KIND} {wanted.name!r}: {field}: only an operator may state this"
        raise RefusedError(403, reason)


class Authenticator(Protocol):
    """Tells who asks."""

    async def actor(self, headers: Mapping[str, str]) -> Actor | None:
        """Who sent these headers; None: nobody that this authenticator knows."""


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token in headers (RFC 6750), or nothing."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
