"""The API's server process: uvicorn on one address, until it is told to end."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from collections.abc import Callable
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

from onehop.controller.api.access import Access
from onehop.controller.api.actors import Authenticator
from onehop.controller.api.app import make_app
from onehop.controller.api.audit import Audit
from onehop.controller.api.keystone import Keystone, read_settings
from onehop.controller.api.tokens import Tokens
from onehop.controller.api.worker import Worker
from onehop.controller.errors import CommandError, InputError

GRACE_S = 5  # for requests that are being answered when the server ends


def tokens_in(directory: pathlib.Path) -> Tokens:
    return Tokens(directory / "tokens.json")


def bind(listen: str) -> socket.socket:
    """A socket that listens at "ADDRESS:PORT"."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise InputError(f"{listen!r} is not an address like 127.0.0.1:9280")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, int(port)), family=family, backlog=1024) as listening:
        # asyncio sends at once (TCP_NODELAY) only where the socket says that it is TCP.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


class Settings(NamedTuple):
    """How to serve."""

    store: str
    directory: pathlib.Path  # of the tokens and the audit log
    listen: str
    cert: pathlib.Path | None = None  # TLS: the certificate's chain and its key
    key: pathlib.Path | None = None
    keystone: pathlib.Path | None = None


def serve(settings: Settings, told: Callable[[str], None]) -> None:
    """Serve until the process is told to end; `told` gets the address once all is there."""
    if (settings.cert is None) != (settings.key is None):
        raise InputError("TLS needs both, --cert and --key")
    tokens, directory = tokens_in(settings.directory), settings.directory
    authenticators: list[Authenticator] = [tokens]
    if settings.keystone is not None:
        authenticators.append(Keystone(read_settings(settings.keystone)))
    elif not tokens.all():
        raise CommandError(f"there is no token in {directory}: `onehop api init` makes the first")
    directory.mkdir(parents=True, exist_ok=True)
    with bind(settings.listen) as listening:
        audit = Audit(directory / "audit.jsonl")
        asyncio.run(_serve(settings, authenticators, audit, listening, told))


async def _serve(
    settings: Settings,
    authenticators: list[Authenticator],
    audit: Audit,
    listening: socket.socket,
    told: Callable[[str], None],
) -> None:
    worker = Worker(settings.store)
    try:
        await worker.start()
        server = _Server(make_app(Access(worker, authenticators, audit)), worker, settings)
        told(_url(listening, "https" if settings.cert else "http"))
        await server.serve([listening])
    finally:
        await worker.stop()


def _url(listening: socket.socket, scheme: str) -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"


class _Server(uvicorn.Server):
    """Ends the watches first: no client would."""

    def __init__(self, app: FastAPI, worker: Worker, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=settings.cert,
            ssl_keyfile=settings.key,
        )
        config.load()  # a certificate that is none is told now
        super().__init__(config)
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._worker.end_watching()
        await super().shutdown(sockets)
