"""Who is let in: Keystone's tokens, and TLS."""

from __future__ import annotations

import json
import pathlib
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from api_server import Client, api_server, onehop
from keystone import SECRET, Keystone, keystone
from typer.testing import CliRunner

from onehop.controller.cli import app
from onehop.controller.store import server


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("store")
    server.start(directory, [address := f"unix:{directory}/store.sock"])
    yield address
    server.stop(directory)


@pytest.fixture
def identity() -> Iterator[Keystone]:
    with keystone() as found:
        yield found


@pytest.fixture
def url(remote: str, identity: Keystone, tmp_path: pathlib.Path) -> Iterator[str]:
    """A server that knows no tokens but Keystone's."""
    settings = tmp_path / "keystone.json"
    credential = {"application_credential_id": "onehop", "application_credential_secret": SECRET}
    settings.write_text(json.dumps({"url": identity.url, **credential}))
    with api_server(remote, tmp_path, "--keystone", settings) as found:
        yield found


def status(url: str, token: str, method: str = "GET", body: object = None) -> int:
    return Client(url, "").ask(method, "/bridges", body, X_Auth_Token=token).status


def test_keystones_roles_and_projects_count(url: str, identity: Keystone) -> None:
    identity.add("t-root", "root", None, "admin")
    identity.add("t-mia", "mia", "p1", "member", "reader")
    identity.add("t-rob", "rob", "p1", "reader")
    identity.add("t-eve", "eve", "p1", "auditor")
    identity.add("t-una", "una", None, "member")
    mine = Client(url, "t-mia").ask("POST", "/bridges", {"name": "net"})
    assert (mine.status, mine.json["tenant"]) == (201, "p1")
    assert status(url, "t-root", "POST", {"name": "other"}) == 201
    assert status(url, "t-rob") == 200 and status(url, "t-rob", "POST", {"name": "x"}) == 403
    assert [status(url, token) for token in ("t-eve", "t-una", "none", "")] == [401] * 4


def test_keystone_is_asked_once_in_a_while_and_its_answer_ends(
    url: str, identity: Keystone
) -> None:
    identity.add("t-mia", "mia", "p1", "member")
    assert [status(url, "t-mia") for _ in range(5)] == [200] * 5
    assert (identity.logins, identity.validations) == (1, 1)
    identity.add("t-old", "old", "p1", "member")
    identity.tokens["t-old"]["expires_at"] = "2020-01-01T00:00:00.000000Z"
    assert status(url, "t-old") == 200  # Keystone says so; it is asked again each time
    del identity.tokens["t-old"]
    assert status(url, "t-old") == 401


def test_a_server_whose_own_token_ended_makes_another(url: str, identity: Keystone) -> None:
    identity.add("t-a", "a", "p1", "member")
    identity.add("t-b", "b", "p1", "member")
    assert status(url, "t-a") == 200
    identity.own = "service-2"
    assert status(url, "t-b") == 200
    assert identity.logins == 2


def test_without_keystone_nobody_new_is_let_in_and_is_told_why(
    url: str, identity: Keystone
) -> None:
    identity.add("t-a", "a", "p1", "member")
    assert status(url, "t-a") == 200
    identity.broken = True
    assert status(url, "t-a") == 200
    answer = Client(url, "t-new").ask("GET", "/bridges")
    assert answer.status == 503 and "Keystone" in answer.detail


def test_tls(remote: str, tmp_path: pathlib.Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", cert], check=True, capture_output=True,
    )  # fmt: skip
    token = onehop("api", "init", "--directory", tmp_path)
    with api_server(remote, tmp_path, "--cert", cert, "--key", key) as url:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        request = urllib.request.Request(
            f"{url}/bridges", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, context=context) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("options", [["--cert", "x"], ["--cert", "no.pem", "--key", "no.pem"]])
def test_half_of_tls_is_refused(remote: str, tmp_path: pathlib.Path, options: list[str]) -> None:
    onehop("api", "init", "--directory", tmp_path)
    command = ["api", "--store", remote, "--directory", str(tmp_path), *options]
    assert CliRunner().invoke(app, [*command, "--listen", "127.0.0.1:0"]).exit_code in (1, 2)
