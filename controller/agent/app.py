"""The agent as a Ryu application: the only module that knows Ryu.

Ryu accepts the switch's connection, shakes hands, and answers echoes.  The connection's loops are
replaced by the bulk socket; messages that the core does not take go Ryu's usual way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from socket import SHUT_RD
from typing import Any

from ryu import cfg
from ryu.base import app_manager
from ryu.controller import controller, ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER
from ryu.controller.handler import set_ev_cls as on
from ryu.lib import hub
from ryu.ofproto import ofproto_parser, ofproto_v1_3

from onehop.controller.agent import events
from onehop.controller.agent.config import SettingError, Settings, from_environment
from onehop.controller.agent.peer_tls import peer_contexts
from onehop.controller.agent.readable import Readable
from onehop.controller.agent.runtime import Runtime
from onehop.controller.agent.wire import BulkSocket

runtime: Runtime | None = None  # Ryu makes connections itself, and hands them nothing of ours


class Switch(BulkSocket, controller.Datapath):  # type: ignore[misc]
    """A connection whose packets the core answers, and whose other messages Ryu does."""

    def __init__(self, socket: Any, address: Any) -> None:
        self.prepare()
        super().__init__(socket, address)
        self._readable = Readable(socket.fileno())
        self._bare = socket.fd

    def receive(self, into: memoryview) -> int:
        self._readable.wait()
        return int(self._bare.recv_into(into))  # the green one would wait by itself

    def take(self, data: memoryview) -> int:
        assert runtime is not None
        consumed, slow = runtime.take(data)
        for message in slow:
            self._dispatch(message)
        return consumed

    def close(self) -> None:
        self.set_state(DEAD_DISPATCHER)
        self.end()

    def end(self) -> None:
        super().end()
        with contextlib.suppress(OSError):
            self.socket.shutdown(SHUT_RD)  # wakes who waits for something to read

    def _read(self) -> None:
        try:
            super()._read()
        finally:
            self._readable.close()

    def _dispatch(self, message: bytes) -> None:
        """Parse a message and hand it to whom it concerns, as Ryu's own loop does."""
        version, kind, length, xid = ofproto_parser.header(message)
        parsed = ofproto_parser.msg(self, version, kind, length, xid, message)
        if not parsed or not self.ofp_brick:
            return
        event = ofp_event.ofp_msg_to_ev(parsed)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self.ofp_brick.get_handlers(event, self.state):
            handler(event)


class Agent(app_manager.RyuApp):  # type: ignore[misc]
    """Tells the core what Ryu hears."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]
    __module__ = "onehop.controller.agent"  # where ryu-manager was told to look for it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for handler in logging.getLogger().handlers:  # Ryu's say no time
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        global runtime
        runtime = self.runtime = Runtime(_settings())
        _listen(self.runtime.settings)

    def start(self) -> Any:
        for loop in self.runtime.loops():
            hub.spawn(loop)
        return super().start()

    @on(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def _state_changed(self, event: Any) -> None:
        switch = event.datapath
        if event.state == MAIN_DISPATCHER:
            self.runtime.connection = switch
            self.runtime.tell(events.SwitchUp([_port(desc) for desc in switch.ports.values()]))
        elif self.runtime.connection is switch:
            self.runtime.connection = None
            self.runtime.tell(events.SwitchDown())

    @on(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _port_changed(self, event: Any) -> None:
        port = _port(event.msg.desc)
        if event.msg.datapath is not self.runtime.connection:
            return
        if event.msg.reason == ofproto_v1_3.OFPPR_DELETE:
            self.runtime.tell(events.PortGone(port.device))
        else:
            self.runtime.tell(events.PortChanged(port))

    @on(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])  # type: ignore[untyped-decorator]
    def _refused(self, event: Any) -> None:
        said = event.msg
        what = ofproto_v1_3.ofp_error_code_to_str(said.type, said.code)
        kind = said.data[1] if len(said.data) > 1 else "unknown"
        self.runtime.tell(events.SwitchRefused(f"{what} (message type {kind})"))


def _port(desc: Any) -> events.OfPort:
    return events.OfPort(
        device=desc.name.decode(errors="replace"),
        number=desc.port_no,
        link_up=not desc.state & ofproto_v1_3.OFPPS_LINK_DOWN,
        live=bool(desc.state & ofproto_v1_3.OFPPS_LIVE),
    )


def _settings() -> Settings:
    try:
        made = from_environment(os.environ)
        made.peer_token()
        peer_contexts(made)
    except SettingError as error:
        sys.exit(f"onehop agent: {error}")
    return made


def _listen(settings: Settings) -> None:
    """Have Ryu listen where the switch is told to connect."""
    address, port = settings.listen_address
    cfg.CONF.set_override("ofp_listen_host", address)
    cfg.CONF.set_override("ofp_tcp_listen_port", port)


def _serve(socket: Any, address: Any) -> None:
    """Serve one connection, as Ryu's own factory does."""
    with contextlib.closing(Switch(socket, address)) as switch:
        switch.serve()


controller.datapath_connection_factory = _serve
