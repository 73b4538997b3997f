"""A small Keystone over real HTTP: tokens as the Identity API v3 validates them."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cret"  # noqa: S105


class Keystone:
    """Its state: who may ask, and the tokens that there are."""

    def __init__(self) -> None:
        self.own = "service-1"  # the one token that may validate others
        self.logins = 0
        self.validations = 0
        self.broken = False
        self.tokens: dict[str, dict[str, Any]] = {}
        self.url = ""

    def add(self, text: str, user: str, project: str | None, *roles: str) -> None:
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        self.tokens[text] = {
            "methods": ["password"],
            "user": {"id": f"id-of-{user}", "name": user, "domain": {"id": "default"}},
            "roles": [{"id": f"id-of-{role}", "name": role} for role in roles],
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            **({"project": {"id": project, "name": f"name of {project}"}} if project else {}),
        }


@contextmanager
def keystone() -> Iterator[Keystone]:
    """A server on loopback."""
    state = Keystone()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}/v3"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(state: Keystone) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            identity = body["auth"]["identity"]
            asked = identity["application_credential"]
            good = identity["methods"] == ["application_credential"] and asked == {
                "id": "onehop", "secret": SECRET,
            }  # fmt: skip
            state.logins += 1
            self.answer(201 if good else 401, {"token": {}}, state.own if good else "")

        def do_GET(self) -> None:  # noqa: N802
            state.validations += 1
            subject = state.tokens.get(self.headers["X-Subject-Token"])
            if state.broken:
                self.answer(500, {})
            elif self.path != "/v3/auth/tokens" or self.headers["X-Auth-Token"] != state.own:
                self.answer(401, {"error": {"code": 401}})
            elif subject is None:
                self.answer(404, {"error": {"code": 404}})
            else:
                self.answer(200, {"token": subject})

        def answer(self, status: int, body: Any, token: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if token:
                self.send_header("X-Subject-Token", token)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
