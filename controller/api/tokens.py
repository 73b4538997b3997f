"""Bearer tokens (RFC 6750): who may use the API, and as what.

1. A token has 256 random bits and is shown once; the file holds its SHA-256, which needs no salt
   and no slowness with so many.
2. The file is replaced as a whole and is its owner's alone; servers notice when it changes.
3. Each has a role and, where it is a tenant's, the tenant (`actors`).
"""

from __future__ import annotations

import datetime
import hashlib
import os
import pathlib
import re
import secrets
from collections.abc import Mapping

import msgspec

from onehop.controller.api.actors import Actor, Role, bearer
from onehop.controller.errors import CommandError, InputError
from onehop.engine.model.resources.base import TENANT

PREFIX = "onehop_"  # so that who finds one knows what it is


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token."""

    name: str  # who has it; the actor in the audit log
    role: Role
    sha256: str
    made: str  # when, UTC
    tenant: str = ""


class Tokens:
    """The tokens in a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] = (0, 0)
        self._known: dict[str, Token] = {}  # by hash

    def all(self) -> list[Token]:
        self._refresh()
        return list(self._known.values())

    async def actor(self, headers: Mapping[str, str]) -> Actor | None:
        """Whose token is in these headers."""
        self._refresh()
        token = self._known.get(_hash(bearer(headers)))
        return Actor(token.name, token.role, token.tenant) if token else None

    def add(self, name: str, role: Role, tenant: str = "") -> str:
        """Make a token; returns its text."""
        held = self.all()
        if bool(tenant) != (role == "tenant") and role != "reader":
            raise InputError(
                f"a token of the role {role} has {'a' if not tenant else 'no'} tenant"
            )
        if not re.fullmatch(TENANT, tenant):
            raise InputError(f"{tenant!r} is not the name of a tenant")
        if not name.isprintable() or not name.strip():
            raise InputError(f"{name!r} is not the name of a token's owner")
        if any(token.name == name for token in held):
            raise InputError(f"there is a token of {name!r} already")
        text = PREFIX + secrets.token_urlsafe(32)
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._write([*held, Token(name, role, _hash(text), made, tenant)])
        return text

    def remove(self, name: str) -> None:
        held = self.all()
        left = [token for token in held if token.name != name]
        if len(left) == len(held):
            raise InputError(f"there is no token of {name!r}")
        self._write(left)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_ino) == self._read_at:
                return
            held = msgspec.json.decode(self._path.read_bytes(), type=list[Token])
        except FileNotFoundError:
            self._known, self._read_at = {}, (0, 0)
            return
        except msgspec.DecodeError as error:
            raise CommandError(f"{self._path}: holds no tokens: {error}") from error
        self._known = {token.sha256: token for token in held}
        self._read_at = (status.st_mtime_ns, status.st_ino)

    def _write(self, tokens: list[Token]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(tokens), indent=1))
        new.replace(self._path)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
