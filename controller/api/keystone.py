"""OpenStack's tokens: asks a Keystone (Identity API v3) whose they are.

1. A token comes as ``X-Auth-Token``, as OpenStack's clients send it, or as a bearer token.
2. The project is the tenant, by its identifier.  The role `admin` makes an admin, `member` a
   tenant's actor, `reader` one that reads what the project has; who has none of these is nobody.
3. What Keystone said counts for `FRESH_S` at most, and not beyond the token's end: a token that is
   revoked is good for so long.
4. The server's own token, by an application credential, is made anew when Keystone refuses it.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import http.client
import json
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

from onehop.controller.api.actors import Actor, Role, bearer
from onehop.controller.api.problems import RefusedError
from onehop.controller.errors import CommandError

FRESH_S = 30.0
TIMEOUT_S = 5.0
MOST = 10_000  # answers that are remembered
ROLES: tuple[tuple[str, Role], ...] = (
    ("admin", "admin"),
    ("member", "tenant"),
    ("reader", "reader"),
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Keystone is, and the application credential that may validate tokens there."""

    url: str  # https://keystone.example/v3
    application_credential_id: str
    application_credential_secret: str


def read_settings(path: pathlib.Path) -> Settings:
    """Settings from a JSON file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except msgspec.DecodeError as error:
        raise CommandError(f"{path}: tells no Keystone: {error}") from error


class Keystone:
    """An authenticator by a Keystone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = ""  # the server's token
        self._known: dict[str, tuple[Actor, float]] = {}  # by hash: who, and until when

    async def actor(self, headers: Mapping[str, str]) -> Actor | None:
        """Whose token is in these headers."""
        text = headers.get("x-auth-token") or bearer(headers)
        if not text or not text.isascii() or not text.isprintable():
            return None
        ident = hashlib.sha256(text.encode()).hexdigest()
        actor, until = self._known.get(ident, (None, 0.0))
        if time.monotonic() < until:
            return actor
        try:
            token = await asyncio.to_thread(self._validated, text)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise RefusedError(
                503, f"Keystone does not tell whose token this is: {error}"
            ) from error
        actor = _actor(token) if token else None
        if token and actor:
            self._remember(ident, actor, token)
        return actor

    def _remember(self, ident: str, actor: Actor, token: dict[str, Any]) -> None:
        end = datetime.datetime.fromisoformat(token["expires_at"]).timestamp()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[ident] = (actor, time.monotonic() + min(FRESH_S, end - time.time()))

    # In a thread.

    def _validated(self, text: str) -> dict[str, Any] | None:
        """What Keystone says of a token; None: it is none, or no longer one."""
        for _ in range(2):
            own = self._own or self._log_in()
            headers = {"X-Auth-Token": own, "X-Subject-Token": text}
            status, _, body = self._ask("GET", headers)
            if status == 200:
                token: dict[str, Any] = body["token"]
                return token
            if status != 401:
                break
            self._own = ""
        if status == 404:
            return None
        raise OSError(f"it answers {status}")

    def _log_in(self) -> str:
        credential = {
            "id": self._settings.application_credential_id,
            "secret": self._settings.application_credential_secret,
        }
        identity = {"methods": ["application_credential"], "application_credential": credential}
        status, token, _ = self._ask("POST", {}, {"auth": {"identity": identity}})
        if status != 201:
            raise OSError(f"it answers {status} to the application credential")
        self._own = token
        return token

    def _ask(
        self, method: str, headers: Mapping[str, str], body: Any = None
    ) -> tuple[int, str, dict[str, Any]]:
        """The status, the token in the header, and the body of an answer about tokens."""
        request = urllib.request.Request(
            f"{self._settings.url.rstrip('/')}/auth/tokens",
            None if body is None else json.dumps(body).encode(),
            {"Accept": "application/json", "Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                token = answer.headers.get("X-Subject-Token", "")
                return answer.status, token, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", {}


def _actor(token: dict[str, Any]) -> Actor | None:
    name = token["user"]["name"]
    project = token.get("project", {}).get("id", "")
    given = {role["name"] for role in token.get("roles", ())}
    for named, role in ROLES:
        if named in given and role == "admin":
            return Actor(name, role)
        if named in given and project:
            return Actor(name, role, project)
    return None
