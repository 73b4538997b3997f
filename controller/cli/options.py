"""The options that commands share: where the store is, and where its server keeps its files."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

StoreAddress = Annotated[
    str,
    typer.Option(
        "--store", envvar="ONEHOP_STORE", help="Where the store is: unix:PATH, tcp:ADDRESS:PORT."
    ),
]
AgentsFolder = Annotated[
    str,
    typer.Option(
        "--agents", envvar="ONEHOP_AGENTS", help="The folder of the agents' sockets, HOST.sock."
    ),
]
Directory = Annotated[
    pathlib.Path, typer.Option("--directory", help="Where the server keeps its files.")
]
