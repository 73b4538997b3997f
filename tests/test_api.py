"""The REST API over real HTTP and a real store."""

import json
import pathlib
import socket
from collections.abc import Iterator

import pytest
from api_server import Client, api_server, onehop
from stores import close_stores, opened  # noqa: F401
from typer.testing import CliRunner

from onehop.controller.api.server import bind
from onehop.controller.cli import app
from onehop.controller.store import server
from onehop.engine.model import KINDS, STATE, STATED, PortStatus, Topology, load

FILE = """
hosts: [{name: c1, tunnel_address: 10.9.0.1}]
bridges: [{name: net}, {name: other}]
routers: [{name: r}]
ports:
  - {name: a/1, device: net, host: c1, interface: tap, addresses: [10.0.0.5]}
  - {name: b, device: net, admin_state_up: false}
  - {name: c, device: net}
routes: [{router: r, destination: 10.0.0.0/8, type: reject}]
"""
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def remote(directory: pathlib.Path) -> Iterator[str]:
    address = f"unix:{directory}/store.sock"
    server.start(directory, [address])
    yield address
    server.stop(directory)


@pytest.fixture(scope="module")
def tokens(directory: pathlib.Path) -> dict[str, str]:
    reader = ["token", "add", "bob", "--role", "reader"]
    return {
        "admin": onehop("api", "init", "--directory", directory),
        "reader": onehop("api", *reader, "--directory", directory),
    }


@pytest.fixture(scope="module")
def url(remote: str, directory: pathlib.Path, tokens: dict[str, str]) -> Iterator[str]:
    with api_server(remote, directory) as found:
        yield found


@pytest.fixture
def api(remote: str, url: str, tokens: dict[str, str]) -> Client:
    """An admin's client; the store holds FILE."""
    client = Client(url, tokens["admin"])
    reset(remote, client)
    return client


def reset(remote: str, client: Client) -> None:
    """The store holds FILE, and the server has heard of it: it finds what this makes last."""
    opened(remote).apply(Topology())
    opened(remote).apply(load(FILE))
    while client.ask("GET", "/routes").json["items"] == []:
        pass
    assert [b["name"] for b in client.ask("GET", "/bridges").json["items"]] == ["net", "other"]


# Reading.


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_is_listed(api: Client, kind: type) -> None:
    answer = api.ask("GET", f"/{kind.PLURAL}")
    assert answer.status == 200
    assert isinstance(answer.json["items"], list) and answer.json["next"] is None


def test_an_object_is_read_by_its_name_with_slashes_and_spaces(api: Client) -> None:
    assert api.ask("GET", "/ports/a%2F1").json["interface"] == "tap"
    assert api.ask("GET", "/ports/a/1").json["interface"] == "tap"
    assert api.ask("GET", "/routes/r%2010.0.0.0%2F8%20reject").json["weight"] == 100
    missing = api.ask("GET", "/ports/nobody")
    assert (missing.status, missing.detail) == (404, "there is no port 'nobody'")


def test_state_is_read_and_never_written(api: Client, remote: str) -> None:
    store = opened(remote)
    store.put([PortStatus(host="c1", port="a/1", up=True)])
    store.flush(10)
    while not (held := api.ask("GET", "/port_statuses").json["items"]):
        pass
    assert held == [{"name": "a/1", "host": "c1", "port": "a/1", "up": True}]
    for kind in STATE:
        assert api.ask("POST", f"/{kind.PLURAL}", {}).status == 405
        assert (
            api.ask("DELETE", f"/{kind.PLURAL}/x").detail
            == "DELETE cannot be done here; there are GET"
        )


@pytest.mark.parametrize(
    "query, names",
    [
        ("device=net", "a/1 b c"),
        ("device=net&admin_state_up=false", "b"),
        ("addresses=10.0.0.5", "a/1"),
        ("host=", "b c"),
        ("name=b", "b"),
        ("device=r", ""),
    ],
)
def test_fields_choose_objects(api: Client, query: str, names: str) -> None:
    items = api.ask("GET", f"/ports?{query}").json["items"]
    assert [item["name"] for item in items] == names.split()


def test_a_list_comes_in_pages_that_links_join(api: Client) -> None:
    names, path = [], "/ports?device=net&limit=2"
    while path:
        answer = api.ask("GET", path)
        assert len(answer.json["items"]) <= 2
        names += [item["name"] for item in answer.json["items"]]
        path = (answer.json["next"] or "").removeprefix("/v1")
        assert ('rel="next"' in answer.headers.get("Link", "")) == bool(path)
    assert names == ["a/1", "b", "c"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "color=red"])
def test_a_query_that_makes_no_sense_is_refused(api: Client, query: str) -> None:
    answer = api.ask("GET", f"/ports?{query}")
    assert answer.status == 400 and query.split("=")[0] in answer.detail


# Changing.


def test_an_object_is_created_replaced_patched_and_deleted(api: Client) -> None:
    made = api.ask("POST", "/ports", {"name": "n/1", "device": "net", "addresses": ["10.0.0.7"]})
    assert (made.status, made.headers["Location"]) == (201, "/v1/ports/n/1")
    key = made.json["tunnel_key"]
    assert key > 0
    patched = api.ask("PATCH", "/ports/n/1", {"admin_state_up": False}, Content_Type=MERGE)
    assert (patched.json["admin_state_up"], patched.json["addresses"]) == (False, ["10.0.0.7"])
    reset = api.ask("PATCH", "/ports/n/1", {"addresses": None, "admin_state_up": None})
    assert (reset.json["addresses"], reset.json["admin_state_up"]) == ([], True)
    replaced = api.ask("PUT", "/ports/n/1", {"device": "other"})
    assert (replaced.json["device"], replaced.json["tunnel_key"]) == ("other", key)
    assert api.ask("GET", "/ports/n/1").json == replaced.json
    gone = api.ask("DELETE", "/ports/n/1")
    assert (gone.status, gone.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert api.ask(method, "/ports/n/1").status == 404
    for method in ("PUT", "PATCH"):
        assert api.ask(method, "/ports/n/1", {"device": "net"}).status == 404


def test_every_problem_of_a_body_is_told_at_once(api: Client) -> None:
    answer = api.ask("POST", "/ports", {"name": "n", "mac": "zz", "x": 1, "addresses": ["10.0.0"]})
    assert answer.status == 422
    told = {(p["kind"], p["name"], p["field"]) for p in answer.json["problems"]}
    assert told == {("port", "n", field) for field in ("x", "device", "mac", "addresses")}
    assert len(answer.detail.splitlines()) == 4
    dangling = api.ask("POST", "/ports", {"name": "n", "device": "none", "peer": "none"})
    assert [p["reason"] for p in dangling.json["problems"]] == [
        "there is no bridge or router 'none'", "there is no port 'none'",
    ]  # fmt: skip
    assert api.ask("GET", "/ports/n").status == 404


@pytest.mark.parametrize(
    "body, media_type, status",
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"7", "application/json", 400),
        (b"[7]", "application/json", 422),
        (b"name: n", "application/yaml", 415),
        (b"x" * ((8 << 20) + 1), "application/json", 413),
    ],
    ids=range(8),
)
def test_a_body_that_is_no_object_is_refused(
    api: Client, body: bytes, media_type: str, status: int
) -> None:
    answer = api.ask("POST", "/bridges", body, Content_Type=media_type)
    assert answer.status == status and answer.detail
    assert len(api.ask("GET", "/bridges").json["items"]) == 2


@pytest.mark.parametrize(
    "name", ["\0", "a\0b", "a\nb", "x" * 2000, "ä", " ", "a ", 7, None, [], {}]
)
@pytest.mark.parametrize(
    "path, rest",
    [
        ("/bridges", {}),
        ("/routes", {"router": "r", "destination": "10.1.0.0/16", "type": "blackhole"}),
    ],
)
def test_a_name_that_is_none_is_refused(
    api: Client, path: str, rest: dict[str, str], name: object
) -> None:
    answer = api.ask("POST", path, {"name": name, **rest})
    assert answer.status == 422
    assert [problem["field"] for problem in answer.json["problems"]] == ["name"]


def test_an_interface_that_is_none_is_refused(api: Client) -> None:
    for interface in ("\0", "a\0b", "a b", "a/b", "a:b", "ä", "x" * 16):
        answer = api.ask("PATCH", "/ports/a/1", {"interface": interface})
        assert answer.status == 422 and "cannot be a network device" in answer.detail


def test_what_is_there_is_not_made_again_and_what_is_used_not_deleted(api: Client) -> None:
    again = api.ask("POST", "/bridges", {"name": "net"})
    assert (again.status, again.detail) == (409, "there is a bridge 'net' already")
    used = api.ask("DELETE", "/bridges/net")
    assert used.status == 409
    assert used.detail == (
        "bridge 'net' is used by port 'a/1' (device), port 'b' (device), port 'c' (device)"
    )


def test_a_name_never_changes(api: Client) -> None:
    for method in ("PUT", "PATCH"):
        answer = api.ask(method, "/bridges/other", {"name": "else"})
        assert answer.status == 422
        assert answer.detail == "bridge 'other': name: cannot become 'else': a name never changes"


def test_a_route_keeps_the_name_that_it_made(api: Client) -> None:
    path = "/routes/r%2010.0.0.0%2F8%20reject"
    assert api.ask("PATCH", path, {"weight": 7}).json["weight"] == 7
    assert api.ask("GET", path).json["weight"] == 7


# Lost updates.


def test_an_etag_guards_against_lost_updates(api: Client) -> None:
    first = api.ask("GET", "/bridges/other").headers["ETag"]
    changed = api.ask("PATCH", "/bridges/other", {"admin_state_up": False}, If_Match=first)
    assert changed.status == 200 and changed.headers["ETag"] != first
    for method in ("PUT", "PATCH", "DELETE"):
        body = {} if method != "DELETE" else None
        late = api.ask(method, "/bridges/other", body, If_Match=first)
        assert late.status == 412 and late.headers["ETag"] == changed.headers["ETag"]
    assert api.ask("GET", "/bridges/other").json["admin_state_up"] is False
    match = f'"x", {changed.headers["ETag"]}'
    assert api.ask("DELETE", "/bridges/other", If_Match=match).status == 204


def test_an_etag_spares_reading_again(api: Client) -> None:
    first = api.ask("GET", "/bridges/net").headers["ETag"]
    assert api.ask("GET", "/bridges/net", If_None_Match=first).status == 304
    assert api.ask("GET", "/bridges/net", If_None_Match="W/" + first).status == 304
    assert api.ask("GET", "/bridges/net", If_None_Match='"old"').status == 200


def test_two_servers_over_one_store_agree(
    api: Client, remote: str, directory: pathlib.Path
) -> None:
    with api_server(remote, directory) as url:
        other = Client(url, api.token)
        tag = api.ask("GET", "/bridges/other").headers["ETag"]
        assert other.ask("GET", "/bridges/other").headers["ETag"] == tag
        assert other.ask("PATCH", "/bridges/other", {"tunnel_key": 9}, If_Match=tag).status == 200
        assert api.ask("PATCH", "/bridges/other", {"tunnel_key": 8}, If_Match=tag).status == 412


def test_without_the_store_reading_goes_on_and_changes_wait_for_it(
    tmp_path: pathlib.Path, directory: pathlib.Path, tokens: dict[str, str]
) -> None:
    remote = f"unix:{tmp_path}/store.sock"
    server.start(tmp_path, [remote])
    try:
        with api_server(remote, directory) as url:
            client = Client(url, tokens["admin"])
            assert client.ask("POST", "/bridges", {"name": "kept"}).status == 201
            server.stop(tmp_path)
            away = client.ask("POST", "/bridges", {"name": "lost"})
            assert away.status == 503 and remote in away.detail
            assert client.ask("GET", "/bridges/kept").status == 200
            server.start(tmp_path, [remote])
            assert client.ask("POST", "/bridges", {"name": "new"}).status == 201
            names = [item["name"] for item in client.ask("GET", "/bridges").json["items"]]
            assert names == ["kept", "new"]
    finally:
        server.stop(tmp_path)


# Several at once.


def test_several_objects_are_created_all_or_none(api: Client) -> None:
    ports = [{"name": f"p{n}", "device": "net"} for n in range(300)]
    made = api.ask("POST", "/ports", ports)
    assert made.status == 201
    assert {item["name"] for item in made.json["items"]} == {port["name"] for port in ports}
    bad = [{"name": "q1", "device": "net"}, {"device": "net"}, {"name": "q3", "x": 1}]
    answer = api.ask("POST", "/ports", bad)
    assert answer.status == 422
    assert answer.detail.splitlines()[0] == "port '#2': name: is missing"
    twice = api.ask("POST", "/ports", [bad[0], bad[0]])
    assert twice.detail == "port 'q1': name: stands twice in what is to be made"
    assert api.ask("POST", "/ports", [bad[0], ports[0]]).status == 409
    assert api.ask("GET", "/ports/q1").status == 404


def test_no_mistake_of_a_body_hides_another(api: Client) -> None:
    ports = [
        {"name": "q1", "device": "net", "mac": "zz"},
        {"name": "q2", "device": "none"},
        {"name": "q3", "device": "net", "peer": "q1"},  # which is there, but wrong
        {"name": "q4", "device": "net", "addresses": ["10.0.0.5"]},
        {"name": "q4", "device": "net"},
        7,
    ]
    answer = api.ask("POST", "/ports", ports)
    assert answer.status == 422
    assert [tuple(problem.values())[1:] for problem in answer.json["problems"]] == [
        ("q1", "mac", "'zz' is not right: expected a MAC address like 02:00:00:00:00:01"),
        ("q4", "name", "stands twice in what is to be made"),
        ("#6", "", "is not an object with fields but 7"),
        ("q2", "device", "there is no bridge or router 'none'"),
        ("q4", "addresses", "'10.0.0.5' is already that of port 'a/1'"),
    ]
    there = api.ask("POST", "/bulk", {"ports": ports[:1], "bridges": [{"name": "net"}]})
    assert there.status == 422
    assert there.detail.splitlines()[1:] == ["bridge 'net': name: is there already"]
    assert len(api.ask("GET", "/ports").json["items"]) == 3


def test_objects_of_many_kinds_are_created_in_any_order(api: Client) -> None:
    whole = {"ports": [{"name": "n", "device": "new"}], "bridges": [{"name": "new"}]}
    made = api.ask("POST", "/bulk", whole)
    assert made.status == 201
    assert made.json["ports"][0]["device"] == "new"
    bad = {"ports": [{"name": "m"}], "bridge": [], "routers": {}}
    assert [p["field"] for p in api.ask("POST", "/bulk", bad).json["problems"]] == [
        "device", "bridge", "routers",
    ]  # fmt: skip


# Access.


def test_what_can_be_done_is_told(api: Client) -> None:
    for path, allowed in (("/ports", "GET, POST"), ("/ports/a/1", "DELETE, GET, PATCH, PUT"),
                          ("/neighbors", "GET"), ("/bulk", "POST")):  # fmt: skip
        answer = api.ask("TRACE", path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer onehop_ä"])
def test_who_has_no_token_sees_nothing(api: Client, header: str) -> None:
    stranger = Client(api.url, "")
    for method, path in (("GET", "/ports"), ("POST", "/ports"), ("GET", "/watch"),
                         ("DELETE", "/ports/c"), ("POST", "/bulk")):  # fmt: skip
        answer = stranger.ask(method, path, Authorization=header.encode())
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_reader_reads_and_changes_nothing(api: Client, tokens: dict[str, str]) -> None:
    reader = Client(api.url, tokens["reader"])
    assert reader.ask("GET", "/ports/c").status == 200
    for method, path in (("POST", "/ports"), ("PUT", "/ports/c"), ("PATCH", "/ports/c"),
                         ("DELETE", "/ports/c"), ("POST", "/bulk")):  # fmt: skip
        answer = reader.ask(method, path, {})
        assert (answer.status, answer.detail) == (403, "'bob' is a reader and may change nothing")
    assert api.ask("GET", "/ports/c").status == 200


def test_tokens_come_and_go_while_the_server_runs(api: Client, directory: pathlib.Path) -> None:
    text = onehop("api", "token", "add", "eve", "--role", "admin", "--directory", directory)
    eve = Client(api.url, text)
    assert eve.ask("POST", "/bridges", {"name": "eves"}).status == 201
    onehop("api", "token", "remove", "eve", "--directory", directory)
    assert eve.ask("GET", "/bridges").status == 401


def test_tokens_are_kept_as_hashes_that_nobody_else_reads(
    directory: pathlib.Path, tokens: dict[str, str]
) -> None:
    file = directory / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(text in file.read_text() for text in tokens.values())


def test_the_audit_log_tells_who_changed_what(api: Client, directory: pathlib.Path) -> None:
    log = directory / "audit.jsonl"
    before = len(log.read_text().splitlines())
    api.ask("PATCH", "/bridges/other", {"tunnel_key": 4711})
    api.ask("DELETE", "/bridges/other")
    Client(api.url, "").ask("DELETE", "/bridges/net")
    patch, delete, refused = map(json.loads, log.read_text().splitlines()[before:])
    assert (patch["actor"], patch["role"]) == ("admin", "admin")
    assert patch["request"] == "PATCH /v1/bridges/other"
    (change,) = patch["changes"]
    assert (change["kind"], change["name"]) == ("bridge", "other")
    assert change["before"]["tunnel_key"] != 4711 == change["after"]["tunnel_key"]
    assert delete["changes"][0]["after"] is None
    assert (refused["actor"], refused["refused"]) == (None, 401)
    assert api.token not in log.read_text() and log.stat().st_mode & 0o777 == 0o600


# Watching.


def test_a_watch_tells_the_state_and_then_each_step(api: Client) -> None:
    connection, stream = api.open("GET", "/watch?kind=bridges&kind=route")
    assert stream.headers["content-type"].startswith("text/event-stream")

    def event() -> tuple[str, dict]:
        lines = []
        while line := stream.readline().decode().rstrip("\n"):
            lines.append(line.partition(": ")[2])
        return lines[0], json.loads(lines[1])

    name, state = event()
    assert name == "state" and {b["name"] for b in state["put"]["bridges"]} == {"net", "other"}
    assert "routes" in state["put"] and "ports" not in state["put"]
    api.ask("POST", "/ports", {"name": "unseen", "device": "net"})
    api.ask("POST", "/bulk", {"bridges": [{"name": "x"}, {"name": "y"}]})
    name, step = event()
    assert name == "step" and {b["name"] for b in step["put"]["bridges"]} == {"x", "y"}
    api.ask("DELETE", "/bridges/x")
    assert event() == ("step", {"put": {}, "remove": {"bridges": ["x"]}})
    connection.close()


def test_a_watch_of_no_kind_is_refused(api: Client) -> None:
    assert api.ask("GET", "/watch?kind=colors").status == 400


# The page.


def test_the_page_describes_every_endpoint(url: str) -> None:
    page = Client(url, "").ask("GET", "/openapi.json").json
    assert page["openapi"].startswith("3.1")
    for kind in KINDS.values():
        whole, one = (
            page["paths"][f"/v1/{kind.PLURAL}"],
            page["paths"][f"/v1/{kind.PLURAL}/{{name}}"],
        )
        stated = kind in STATED
        assert whole.keys() == ({"get", "post"} if stated else {"get"})
        assert one.keys() == ({"get", "put", "patch", "delete"} if stated else {"get"})
        assert kind.__name__ in page["components"]["schemas"]
    text = json.dumps(page)
    for name in set(part.split('"')[0] for part in text.split("#/components/schemas/")[1:]):
        assert name in page["components"]["schemas"]
    operations = [o["operationId"] for path in page["paths"].values() for o in path.values()]
    assert len(set(operations)) == len(operations)


def test_the_name_of_what_is_replaced_may_be_left_to_the_path(url: str, api: Client) -> None:
    page = api.ask("GET", "/openapi.json").json
    body = page["paths"]["/v1/ports/{name}"]["put"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rpartition("/")[2]
    assert page["components"]["schemas"][name]["required"] == ["device"]
    assert api.ask("PUT", "/ports/c", {"device": "net"}).status == 200


def test_the_page_to_try_it_needs_nothing_from_outside(url: str) -> None:
    client = Client(url, "")
    page = client.ask("GET", "/docs").body.decode()
    assert "//cdn" not in page and "https://" not in page
    assert len(client.ask("GET", "/static/swagger-ui-bundle.js").body) > 100_000


@pytest.mark.parametrize("path", ["/nothing", "/ports/", "/../v1"])
def test_what_is_nowhere_is_not_found(api: Client, path: str) -> None:
    answer = api.ask("GET", path)
    assert answer.status == 404 and answer.detail


# Starting.


def ended(*options: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["api", *map(str, options)])
    return result.exit_code, result.stderr.strip()


def test_no_server_starts_without_a_token(tmp_path: pathlib.Path, remote: str) -> None:
    code, reason = ended("--store", remote, "--directory", tmp_path, "--listen", "127.0.0.1:0")
    assert code == 1 and reason.endswith("`onehop api init` makes the first")


@pytest.mark.parametrize("listen", ["9280", "127.0.0.1:x", "127.0.0.1:70000", ":1"])
def test_an_address_that_makes_no_sense_is_bad_input(directory: pathlib.Path, listen: str) -> None:
    code, reason = ended("--directory", directory, "--listen", listen)
    assert (code, reason) == (2, f"onehop: {listen!r} is not an address like 127.0.0.1:9280")


def test_there_is_one_first_token(directory: pathlib.Path, tokens: dict[str, str]) -> None:
    code, reason = ended("init", "--directory", directory)
    assert code == 1 and "there are tokens" in reason


def test_an_answer_never_waits_for_the_acknowledgement_of_the_one_before() -> None:
    """asyncio sets TCP_NODELAY where a socket says that it is TCP, and nowhere else."""
    with bind("127.0.0.1:0") as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert (listening.proto, accepted.proto) == (socket.IPPROTO_TCP, socket.IPPROTO_TCP)
