"""TLS of the channel between agents: certificates of one authority, asked of both ends.

1. `Tunnel` is pure: bytes in, bytes out; so it works the same under eventlet.
2. TLS 1.3 only.  Who has a certificate of the authority and its key is let in; who it is, and that
   it belongs here, the frames inside prove with the token as ever.
3. Files are read once, when the agent starts.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

from onehop.controller.agent.config import SettingError, Settings

CHUNK_BYTES = 1 << 16


class TlsError(Exception):
    """What the other end said is not what TLS lets it say; the connection ends."""


class Contexts(NamedTuple):
    """What this agent shows, and whom it believes."""

    opener: ssl.SSLContext
    accepter: ssl.SSLContext


class Tunnel:
    """One end of a connection: what is said inside, and what goes over the wire."""

    def __init__(self, context: ssl.SSLContext, *, accepts: bool) -> None:
        self.out = bytearray()  # for the wire
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._end = context.wrap_bio(self._came, self._goes, server_side=accepts)
        self._is_open = False
        self._shake_hands()

    def send(self, said: bytearray) -> None:
        """Take over what is to be said, once there is somebody to say it to."""
        if self._is_open and said:
            self._end.write(said)
            said.clear()
            self._flush()

    def receive(self, data: bytes) -> bytes:
        """This came over the wire; what was said with it."""
        self._came.write(data)
        self._shake_hands()
        heard = bytearray()
        try:
            while self._is_open and (piece := self._end.read(CHUNK_BYTES)):
                heard += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from None
        finally:
            self._flush()
        return bytes(heard)

    def _shake_hands(self) -> None:
        if self._is_open:
            return
        try:
            self._end.do_handshake()
            self._is_open = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from None
        finally:
            self._flush()

    def _flush(self) -> None:
        self.out += self._goes.read()


def peer_contexts(settings: Settings) -> Contexts | None:
    """What the settings name, or a SettingError; None: no TLS."""
    if not settings.peer_cert:
        return None
    return contexts(settings.peer_cert, settings.peer_key, settings.peer_ca)


def contexts(cert: str, key: str, authority: str) -> Contexts:
    """From files of PEM, or a SettingError that names the setting."""
    _check_private(key)
    opener = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    opener.check_hostname = False
    accepter = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepter.num_tickets = 0
    for context in (opener, accepter):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        _load(context, cert, key, authority)
    return Contexts(opener, accepter)


def _load(context: ssl.SSLContext, cert: str, key: str, authority: str) -> None:
    _check_readable("peer_cert", cert)
    _check_readable("peer_ca", authority)
    try:
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise SettingError(f"peer_cert, peer_key: {cert}, {key}: {_reason(error)}") from None
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise SettingError(f"peer_ca: {authority}: {_reason(error)}") from None


def _check_private(key: str) -> None:
    _check_readable("peer_key", key)
    if os.stat(key).st_mode & 0o077:
        raise SettingError(f"peer_key: {key}: others may read it; chmod 600")


def _check_readable(setting: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise SettingError(f"{setting}: {path}: {error.strerror}") from None


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
