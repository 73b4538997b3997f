"""The agent's settings: given as options of ``onehop agent`` or as environment variables.

1. One definition: an option ``--run-dir`` is the field ``run_dir`` is ``ONEHOP_RUN_DIR``.
2. A setting that makes no sense is refused here, by name, before anything is touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PREFIX = "ONEHOP_"
TOKEN_BYTES = 16  # the shortest secret
PEER_PORT = 6654

Remote = Annotated[str, Meta(pattern=r"^(unix:.+|tcp:.+:[0-9]+|ssl:.+:[0-9]+)$")]
Positive = Annotated[float, Meta(gt=0)]


class SettingError(ValueError):
    """A setting that was refused: its name and why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is told when it starts."""

    host: str  # the name of this host in the topology
    tunnel_address: str = ""  # registers the host where the topology does not state it
    store: Remote = "unix:/run/onehop/store.sock"
    ovsdb: Remote = "unix:/run/openvswitch/db.sock"  # of the local Open vSwitch
    run_dir: str = "/run/onehop"  # FRR's files, the agent's own
    listen: str = "127.0.0.1:6653"  # where the local switch finds the agent
    questions_dir: str = ""  # where the agent's socket for questions is; empty: RUN_DIR/agents
    questions_listen: str = ""  # and where over TCP, by the peers' token; empty: nowhere
    metrics: str = "127.0.0.1:9273"  # Prometheus figures, and /status
    datapath: Literal["netdev", "system"] = "netdev"
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = (
        0  # of connection hashing: equal on all hosts
    )
    idle_s: Positive = 60.0  # a flow unused for so long is removed
    port_rate: Positive = 20_000.0  # packets a second that one port may send to the agent
    port_burst: Positive = 20_000.0
    peer_token_file: str = ""  # what all agents know; empty: no state goes between hosts
    peer_listen: str = ""  # where other agents connect; empty: PEER_PORT of the tunnel address
    peer_cert: str = ""  # this agent's certificate, for TLS between agents; empty: none
    peer_key: str = ""
    peer_ca: str = ""  # whose certificates the other agents must show
    state_entries: Annotated[int, Meta(ge=1024, le=1 << 24)] = 1 << 17  # that a host remembers

    @property
    def questions_folder(self) -> str:
        return self.questions_dir or os.path.join(self.run_dir, "agents")

    @property
    def listen_address(self) -> tuple[str, int]:
        return endpoint("listen", self.listen)

    @property
    def metrics_address(self) -> tuple[str, int]:
        return endpoint("metrics", self.metrics)

    @property
    def questions_address(self) -> tuple[str, int] | None:
        listen = self.questions_listen
        return endpoint("questions_listen", listen) if listen else None

    @property
    def peer_address(self) -> tuple[str, int] | None:
        return endpoint("peer_listen", self.peer_listen) if self.peer_listen else None

    def peer_token(self) -> bytes:
        """What proves that an agent belongs here; empty where there is no such thing."""
        return read_token(self.peer_token_file) if self.peer_token_file else b""

    def environment(self) -> dict[str, str]:
        """The variables that make the same settings in another process."""
        return {variable(name): str(value) for name, value in msgspec.structs.asdict(self).items()}


def settings(values: Mapping[str, object]) -> Settings:
    """Settings from texts and numbers, or a SettingError."""
    try:
        made = msgspec.convert(dict(values), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingError(_reason(error)) from None
    endpoint("listen", made.listen)
    endpoint("metrics", made.metrics)
    if made.tunnel_address and not _is_address(made.tunnel_address):
        raise SettingError(f"tunnel_address: {made.tunnel_address!r} is no IP address")
    if made.peer_listen:
        endpoint("peer_listen", made.peer_listen)
    if made.questions_address and not made.peer_token_file:
        raise SettingError("peer_token_file: not set; questions_listen needs it")
    _check_tls(made)
    return made


def _check_tls(made: Settings) -> None:
    named = {name: getattr(made, name) for name in ("peer_cert", "peer_key", "peer_ca")}
    missing = [name for name, path in named.items() if not path]
    if missing and len(missing) < len(named):
        raise SettingError(f"{missing[0]}: not set; peer_cert, peer_key, peer_ca go together")
    if not missing and not made.peer_token_file:
        raise SettingError("peer_token_file: not set; TLS does not stand for the token")


def read_token(path: str) -> bytes:
    """The secret in a file that only its owner may read, or a SettingError."""
    try:
        with open(path, "rb") as file:
            shared = os.fstat(file.fileno()).st_mode & 0o077
            token = file.read(4096).strip()
    except OSError as error:
        raise SettingError(f"peer_token_file: {path}: {error.strerror}") from None
    if shared:
        raise SettingError(f"peer_token_file: {path}: others may read it; chmod 600")
    if len(token) < TOKEN_BYTES:
        raise SettingError(f"peer_token_file: {path}: shorter than {TOKEN_BYTES} bytes")
    return token


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings from the ``ONEHOP_`` variables among `environment`."""
    names = {variable(name): name for name in Settings.__struct_fields__}
    found = {names[key]: value for key, value in environment.items() if key in names}
    if "host" not in found:
        raise SettingError(f"host: not set; give --host or {variable('host')}")
    return settings(found)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def endpoint(name: str, text: str) -> tuple[str, int]:
    """An address and a port, or a SettingError."""
    address, _, port = text.rpartition(":")
    try:
        ip_address(address.strip("[]"))
        number = int(port)
        if not 0 < number < 65536:
            raise ValueError
    except ValueError:
        raise SettingError(f"{name}: {text!r} is no ADDRESS:PORT") from None
    return address.strip("[]"), number


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _reason(error: msgspec.ValidationError) -> str:
    found = re.search(r"at `\$\.(\w+)`", str(error))
    field = found[1] if found else "settings"
    return f"{field}: {str(error).partition(' - at')[0]}"
