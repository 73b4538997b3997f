"""Tenants: what each sees and changes over the API, and what their objects may name."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest
from api_server import Client, api_server, onehop
from stores import close_stores, opened  # noqa: F401
from typer.testing import CliRunner

from onehop.controller.cli import app
from onehop.controller.store import server
from onehop.engine.model import LearnedMac, Topology, load

FILE = """
hosts: [{name: c1, tunnel_address: 10.9.0.1}]
bridges: [{name: public, shared: true}, {name: private}, {name: a-net, tenant: acme}]
routers: [{name: edge, shared: true}, {name: a-router, tenant: acme}]
ports:
  - {name: a-vm, device: a-net, tenant: acme, host: c1, interface: tap1}
  - {name: edge-in, device: edge, shared: true, addresses: [10.1.0.1/24]}
"""
USERS = {"alice": ("tenant", "acme"), "gwen": ("tenant", "globex"), "rita": ("reader", "acme")}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("tenants")


@pytest.fixture(scope="module")
def remote(directory: pathlib.Path) -> Iterator[str]:
    address = f"unix:{directory}/store.sock"
    server.start(directory, [address])
    yield address
    server.stop(directory)


@pytest.fixture(scope="module")
def clients(remote: str, directory: pathlib.Path) -> Iterator[dict[str, Client]]:
    where = ("--directory", directory)
    tokens = {"admin": onehop("api", "init", *where)}
    for name, (role, tenant) in USERS.items():
        more = ("--role", role, "--tenant", tenant)
        tokens[name] = onehop("api", "token", "add", name, *more, *where)
    with api_server(remote, directory) as url:
        yield {name: Client(url, token) for name, token in tokens.items()}


@pytest.fixture
def ask(remote: str, clients: dict[str, Client]) -> Iterator[dict[str, Client]]:
    """Everybody's client; the store holds FILE, and the server has heard of it."""
    store, admin = opened(remote), clients["admin"]
    store.apply(Topology())
    while admin.ask("GET", "/bridges").json["items"]:
        pass
    store.apply(load(FILE))
    while not admin.ask("GET", "/ports").json["items"]:
        pass
    return clients


def names(client: Client, kinds: str) -> list[str]:
    return [item["name"] for item in client.ask("GET", f"/{kinds}").json["items"]]


def test_a_tenant_sees_its_own_and_what_is_shared(ask: dict[str, Client]) -> None:
    assert names(ask["admin"], "bridges") == ["a-net", "private", "public"]
    for user in ("alice", "rita"):
        assert names(ask[user], "bridges") == ["a-net", "public"]
    assert names(ask["gwen"], "bridges") == ["public"]
    assert names(ask["gwen"], "hosts") == []
    assert ask["gwen"].ask("GET", "/ports/a-vm").status == 404
    assert ask["alice"].ask("GET", "/ports/a-vm").json["interface"] == "tap1"


def test_what_a_tenant_makes_is_its_own(ask: dict[str, Client]) -> None:
    made = ask["gwen"].ask("POST", "/bridges", {"name": "g-net"})
    assert (made.status, made.json["tenant"]) == (201, "globex")
    bulk = {"ports": [{"name": "g1", "device": "g-net"}, {"name": "g2", "device": "public"}]}
    made = ask["gwen"].ask("POST", "/bulk", bulk)
    assert [port["tenant"] for port in made.json["ports"]] == ["globex", "globex"]
    assert names(ask["alice"], "bridges") == ["a-net", "public"]
    assert ask["gwen"].ask("DELETE", "/ports/g1").status == 204


@pytest.mark.parametrize(
    ("kinds", "body", "reason"),
    [
        ("bridges", {"name": "x", "tenant": "acme"}, "bridge 'x': tenant: only an operator"),
        ("bridges", {"name": "x", "shared": True}, "bridge 'x': shared: only an operator"),
        ("bridges", {"name": "x", "tunnel_key": 5}, "bridge 'x': tunnel_key: only an operator"),
        ("ports", {"name": "x", "device": "public", "host": "c1", "interface": "e"},
         "port 'x': host: only an operator"),
        ("hosts", {"name": "x", "tunnel_address": "10.9.0.9"}, "no tenant has a host"),
    ],
)  # fmt: skip
def test_what_only_an_operator_states(
    ask: dict[str, Client], kinds: str, body: dict, reason: str
) -> None:
    answer = ask["gwen"].ask("POST", f"/{kinds}", body)
    assert answer.status == 403 and answer.detail.startswith(reason)


@pytest.mark.parametrize(
    ("kinds", "body", "field"),
    [
        ("ports", {"name": "x", "device": "a-net"}, "device"),
        ("ports", {"name": "x", "device": "private"}, "device"),
        ("ports", {"name": "x", "device": "edge"}, "device"),
        ("ports", {"name": "x", "device": "public", "peer": "a-vm"}, "peer"),
        ("routes", {"router": "edge", "destination": "10.0.0.0/8", "type": "reject"}, "router"),
        ("bgp_networks", {"router": "edge", "prefix": "10.0.0.0/8"}, "router"),
        ("port_groups", {"name": "x", "ports": ["a-vm"]}, "ports"),
        ("chains", {"name": "x", "rules": [{"action": "drop", "in_ports": ["a-vm"]}]},
         "rules #1 in_ports"),
    ],
)  # fmt: skip
def test_a_tenants_object_names_its_own_and_what_is_shared(
    ask: dict[str, Client], kinds: str, body: dict, field: str
) -> None:
    answer = ask["gwen"].ask("POST", f"/{kinds}", body)
    assert answer.status == 422
    assert [problem["field"] for problem in answer.json["problems"]] == [field]
    assert "that tenant 'globex' may use" in answer.detail


def test_what_is_shared_can_be_used(ask: dict[str, Client]) -> None:
    gwen = ask["gwen"]
    floating = {"router": "edge", "address": "192.0.2.7", "fixed_address": "10.1.0.7"}
    assert gwen.ask("POST", "/floating_ips", floating).status == 201
    assert gwen.ask("POST", "/bridges", {"name": "g-net"}).status == 201
    link = {"name": "g-up", "device": "g-net", "peer": "edge-in"}
    assert gwen.ask("POST", "/ports", link).status == 201
    unshared = ask["admin"].ask("PATCH", "/ports/edge-in", {"shared": False})
    assert unshared.status == 422 and "port 'g-up': peer: there is no port" in unshared.detail


def test_of_others_what_is_shared_is_read_only_and_the_rest_is_not_there(
    ask: dict[str, Client],
) -> None:
    for method, body in (("PATCH", {"admin_state_up": False}), ("PUT", {}), ("DELETE", None)):
        assert ask["gwen"].ask(method, "/bridges/public", body).status == 403
        assert ask["gwen"].ask(method, "/bridges/a-net", body).status == 404
        assert ask["rita"].ask(method, "/bridges/a-net", body).status == 403
    assert ask["gwen"].ask("POST", "/bridges", {"name": "a-net"}).status == 409
    assert names(ask["admin"], "bridges") == ["a-net", "private", "public"]


def test_a_tenants_edit_leaves_what_the_operator_stated(ask: dict[str, Client]) -> None:
    replaced = ask["alice"].ask("PUT", "/ports/a-vm", {"device": "a-net", "admin_state_up": False})
    assert replaced.status == 200
    assert (replaced.json["host"], replaced.json["interface"]) == ("c1", "tap1")
    patched = ask["alice"].ask("PATCH", "/ports/a-vm", {"interface": "tap2"})
    assert (patched.status, patched.json["title"]) == (403, "Forbidden")
    assert ask["admin"].ask("PATCH", "/ports/a-vm", {"interface": "tap2"}).status == 200


def test_state_is_seen_by_whom_it_is_about(ask: dict[str, Client], remote: str) -> None:
    store = opened(remote)
    store.until_connected(5)
    mac = "02:00:00:00:00:01"
    store.put([LearnedMac(host="c1", bridge="a-net", port="a-vm", mac=mac)])
    store.flush(5)
    while not names(ask["admin"], "learned_macs"):
        pass
    assert names(ask["alice"], "learned_macs") == [f"a-net 0 {mac}"]
    assert names(ask["gwen"], "learned_macs") == []


def test_a_watch_tells_a_tenant_what_it_sees(ask: dict[str, Client]) -> None:
    connection, stream = ask["gwen"].open("GET", "/watch?kind=bridge")

    def event() -> dict:
        while not (line := stream.readline().decode()).startswith("data: "):
            pass
        return json.loads(line.removeprefix("data: "))

    assert [bridge["name"] for bridge in event()["put"]["bridges"]] == ["public"]
    assert ask["alice"].ask("DELETE", "/bridges/a-net").status == 409
    assert ask["alice"].ask("POST", "/bridges", {"name": "unseen"}).status == 201
    assert ask["admin"].ask("PATCH", "/bridges/private", {"shared": True}).status == 200
    assert [bridge["name"] for bridge in event()["put"]["bridges"]] == ["private"]
    assert ask["admin"].ask("PATCH", "/bridges/private", {"shared": False}).status == 200
    assert event() == {"put": {}, "remove": {"bridges": ["private"]}}
    connection.close()


def test_all_that_only_an_operator_may_state_is_told_at_once(ask: dict[str, Client]) -> None:
    bodies = [
        {"name": "a1", "device": "a-net", "host": "c1", "interface": "tap"},
        {"name": "a2", "device": "a-net", "shared": True},
        {"name": "a3", "device": "a-net"},
    ]
    answer = ask["alice"].ask("POST", "/ports", bodies)
    assert answer.status == 403
    assert answer.detail.splitlines() == [
        "port 'a1': host: only an operator may state this",
        "port 'a2': shared: only an operator may state this",
    ]


def test_a_mistake_tells_no_more_of_what_others_have(ask: dict[str, Client]) -> None:
    bodies = [{"name": "a1"}, {"name": "a2", "device": "private"}]  # the first has no device
    answer = ask["alice"].ask("POST", "/ports", bodies)
    assert answer.detail.splitlines() == [
        "port 'a1': device: is missing",
        "port 'a2': device: there is no bridge or router 'private' that tenant 'acme' may use",
    ]


def test_the_audit_log_names_the_tenant_and_what_was_refused(
    ask: dict[str, Client], directory: pathlib.Path
) -> None:
    log = directory / "audit.jsonl"
    before = len(log.read_text().splitlines())
    ask["gwen"].ask("POST", "/bridges", {"name": "g-net"})
    ask["gwen"].ask("DELETE", "/bridges/public")
    made, refused = map(json.loads, log.read_text().splitlines()[before:])
    assert (made["actor"], made["role"], made["tenant"]) == ("gwen", "tenant", "globex")
    assert made["changes"][0]["after"]["tenant"] == "globex"
    assert (refused["actor"], refused["refused"]) == ("gwen", 403)


def test_a_tenants_token_names_the_tenant(directory: pathlib.Path) -> None:
    for more in (["--role", "tenant"], ["--role", "admin", "--tenant", "x"],
                 ["--role", "tenant", "--tenant", "a b"]):  # fmt: skip
        command = ["api", "token", "add", "zoe", *more, "--directory", str(directory)]
        assert CliRunner().invoke(app, command).exit_code == 2
