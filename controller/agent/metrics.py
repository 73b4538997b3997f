"""What an agent tells about itself: Prometheus figures and a status in JSON, over HTTP.

1. Both are made from one `Status`; the names of figures begin with ``onehop_``.
2. Asking changes nothing, and is answered in every phase of the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Respond = Callable[[str, list[tuple[str, str]]], object]


class PeerStatus(msgspec.Struct, frozen=True):
    """How the state channel to a peer is."""

    connected: bool  # it takes state from here
    heard: bool  # it is connected, and may send state to here
    queued: int  # messages that it has not confirmed
    queued_bytes: int


class ChannelStatus(msgspec.Struct, frozen=True):
    """How the state channel is."""

    state: str  # in words
    peers: Mapping[str, PeerStatus] = {}
    counters: Mapping[str, int] = {}


OFF = ChannelStatus("off: no --peer-token-file")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is."""

    host: str
    phase: str  # waiting, surveying, adopting, live
    live: bool
    switch_connected: bool
    store_connected: bool
    synced: bool  # the topology is known
    announcing: bool  # the uplinks announce their networks
    flows: int
    static_flows: int
    waiting_packets: int  # for the MAC of their next hop
    peers: dict[str, bool]  # hosts that BFD watches: reachable
    ports: dict[str, bool]  # exterior ports of this host: working
    uplinks: dict[str, dict[str, object]]
    rows: dict[str, int]  # of each kind in the topology
    counters: dict[str, int]
    channel: ChannelStatus = OFF
    monitors: Mapping[str, str] = {}  # of this host, by their ports: what they do
    states: dict[str, int] = {}  # what is remembered of connections: entries, capacity, ...


class Page:
    """The pages ``/metrics`` and ``/status``, as a WSGI application."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The figures, as Prometheus asks for them."""
        return metrics(self._status())

    def __call__(self, environ: Mapping[str, Any], respond: Respond) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                kind, body = CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/status":
                kind, body = "application/json", msgspec.json.encode(self._status())
            case _:
                respond("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics or /status\n"]
        respond("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]


class QuietHandler(WSGIRequestHandler):
    """Says nothing about requests that were answered."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def server(address: tuple[str, int], status: Callable[[], Status]) -> WSGIServer:
    """A server that listens; `serve_forever` answers."""
    made = WSGIServer(address, QuietHandler, bind_and_activate=False)
    made.allow_reuse_address = True
    try:
        made.server_bind()
        made.server_activate()
    except OSError:
        made.server_close()
        raise
    made.set_app(Page(status))
    return made


def metrics(status: Status) -> Iterable[Metric]:
    """`status` as figures."""
    for name, text, value in (
        ("live", "The agent answers packets.", status.live),
        ("switch_connected", "The local switch is connected.", status.switch_connected),
        ("store_connected", "The store is connected.", status.store_connected),
        ("announcing", "The uplinks announce their networks.", status.announcing),
        ("flows", "Flows installed from packets.", status.flows),
        ("static_flows", "Flows that follow from the configuration.", status.static_flows),
        ("waiting_packets", "Packets that wait for a MAC.", status.waiting_packets),
    ):
        yield GaugeMetricFamily(f"onehop_{name}", text, value=float(value))
    yield _labelled("peer_up", "BFD reaches the host.", "peer", status.peers)
    yield _labelled("port_up", "The exterior port works.", "port", status.ports)
    yield _labelled("resources", "What the topology holds.", "kind", status.rows)
    yield from _channel(status.channel)
    yield _labelled("states", "Memory of connections.", "figure", status.states)
    events = CounterMetricFamily("onehop_events", "What happened, by name.", labels=["event"])
    for name, count in sorted(status.counters.items()):
        events.add_metric([name], count)
    yield events


def _channel(channel: ChannelStatus) -> Iterable[Metric]:
    peers = channel.peers.items()
    for name, text, values in (
        ("up", "The host takes connection state from here.", {h: p.connected for h, p in peers}),
        ("queued", "Messages that it has not confirmed.", {h: p.queued for h, p in peers}),
        ("queued_bytes", "Bytes of them.", {h: p.queued_bytes for h, p in peers}),
    ):
        yield _labelled(f"state_peer_{name}", text, "peer", values)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"onehop_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family
