"""A real API server over a real store, and a client of it for tests."""

from __future__ import annotations

import http.client
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CODE = "from onehop.controller.cli import main; main()"
JSON = "application/json"


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """The detail of problem details, whose form is checked."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status and self.json["title"]
        return self.json["detail"]


class Client(NamedTuple):
    """One user of one server."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection, response = self.open(method, path, body, **headers)
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def open(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None and "Content-Type" not in sent:
            sent["Content-Type"] = JSON
        connection.request(method, parts.path + path, body, sent)
        return connection, connection.getresponse()


def onehop(*args: object) -> str:
    command = [sys.executable, "-c", CODE, *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def api_server(remote: str, directory: pathlib.Path, *more: object) -> Iterator[str]:
    """The address of a server, which must end by itself when it is told to."""
    command = [sys.executable, "-c", CODE, "api", "--listen", "127.0.0.1:0"]
    options = ["--store", remote, "--directory", str(directory), *map(str, more)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("the API listens at "), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=30)
