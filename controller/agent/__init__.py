"""The agent of one host.

``ryu-manager onehop.controller.agent`` looks through this package for an application and finds
`Agent`; whoever imports another part of it does not import Ryu.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "Agent":
        from onehop.controller.agent.app import Agent

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["Agent"]
