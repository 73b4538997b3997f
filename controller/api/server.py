"""The API's server process: uvicorn on one address, until it is told to end."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from onehop.controller.api.access import Access
from onehop.controller.api.app import make_app
from onehop.controller.api.audit import Audit
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
    return socket.create_server((host, int(port)), family=family, backlog=1024)


def serve(remote: str, directory: pathlib.Path, listen: str, told: Callable[[str], None]) -> None:
    """Serve until the process is told to end; `told` gets the address once all is there."""
    tokens = tokens_in(directory)
    if not tokens.all():
        raise CommandError(f"there is no token in {directory}: `onehop api init` makes the first")
    with bind(listen) as listening:
        asyncio.run(_serve(remote, tokens, Audit(directory / "audit.jsonl"), listening, told))


async def _serve(
    remote: str,
    tokens: Tokens,
    audit: Audit,
    listening: socket.socket,
    told: Callable[[str], None],
) -> None:
    worker = Worker(remote)
    try:
        await worker.start()
        told(_url(listening))
        await _Server(make_app(Access(worker, tokens, audit)), worker).serve([listening])
    finally:
        await worker.stop()


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class _Server(uvicorn.Server):
    """Ends the watches first: no client would."""

    def __init__(self, app: FastAPI, worker: Worker) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._worker.end_watching()
        await super().shutdown(sockets)
