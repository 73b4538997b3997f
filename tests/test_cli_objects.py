"""The commands on single objects and on files, as a user runs them, over a real store."""

import json
import os
import pathlib
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest
from stores import close_stores, opened  # noqa: F401
from typer.testing import CliRunner, Result

from onehop.controller.cli import app
from onehop.controller.store import server
from onehop.engine.model import KINDS, MemberStatus, PortStatus, load

FILE = """
hosts: [{name: c1, tunnel_address: 10.9.0.1}, {name: c2, tunnel_address: 10.9.0.2}]
bridges: [{name: net}, {name: other}]
routers: [{name: r}]
ports:
  - {name: vm, device: net, host: c1, interface: tap, addresses: [10.0.0.5]}
  - {name: vm2, device: net, admin_state_up: false}
  - {name: net-r, device: net}
  - {name: r-net, device: r, peer: net-r, addresses: [10.0.0.1/24]}
routes: [{router: r, destination: 10.0.0.0/8, type: reject}]
port_groups: [{name: g, ports: [vm]}]
"""
CODE = "from onehop.controller.cli import main; main()"


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("store")
    address = f"unix:{directory}/store.sock"
    server.start(directory, [address])
    yield address
    server.stop(directory)


@pytest.fixture(autouse=True)
def store(remote: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store that the commands use, with FILE in it."""
    monkeypatch.setenv("ONEHOP_STORE", remote)
    opened(remote).apply(load(FILE))
    return remote


def onehop(*args: object, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)


def printed(*args: object, stdin: str = "") -> str:
    result = onehop(*args, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*args: object) -> list[str]:
    """The lines that say why, of a command whose input is bad."""
    result = onehop(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()


def got(*args: object) -> dict:
    return json.loads(printed("get", *args))


# get


def test_a_pipe_gets_json() -> None:
    assert [port["name"] for port in json.loads(printed("get", "ports"))] == [
        "net-r", "r-net", "vm", "vm2",
    ]  # fmt: skip
    assert got("port", "vm")["addresses"] == ["10.0.0.5"]


def test_a_terminal_gets_a_table() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", CODE, "get", "port", "vm", "vm2"]
    env = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    subprocess.run(command, stdout=theirs, env=env, check=True)
    os.close(theirs)
    lines = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert lines[0].split()[:4] == ["name", "device", "addresses", "host"]
    assert lines[1].split()[:5] == ["vm", "net", "10.0.0.5", "c1", "tap"]
    assert "peer" not in lines[0]  # nothing stands in that column


@pytest.mark.parametrize("word", ["port_group", "port-groups", "PORT_GROUPS"])
def test_a_kind_has_several_spellings(word: str) -> None:
    assert printed("get", word, "-o", "name") == "g\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed(kind: str) -> None:
    assert isinstance(got(kind), list)


@pytest.mark.parametrize(
    "words, names",
    [
        (["device=net"], "net-r vm vm2"),
        (["device=net", "host=c1"], "vm"),
        (["addresses=10.0.0.5"], "vm"),
        (["admin-state-up=false"], "vm2"),
        (["host="], "net-r r-net vm2"),
        (["vm", "vm2", "host=c1"], "vm"),
        (["name=nobody"], ""),
    ],
)
def test_fields_choose_objects(words: list[str], names: str) -> None:
    assert printed("get", "ports", *words, "-o", "name").split() == names.split()


def test_what_is_not_there_cannot_be_shown() -> None:
    assert refused("get", "port", "nobody") == ["onehop: there is no port 'nobody'"]
    assert refused("get", "prot")[0].startswith("onehop: there is no kind 'prot'; there are host,")
    assert refused("get", "bridge", "x=y")[0].startswith("onehop: bridge: x: unknown field")


def test_yaml_is_what_a_file_holds() -> None:
    assert printed("get", "host", "c1", "-o", "yaml") == (
        "hosts:\n- name: c1\n  tunnel_address: 10.9.0.1\n  drain: false\n  registered: false\n"
        "  tenant: ''\n  shared: false\n"
    )


# Health

BALANCED = (
    FILE
    + """
health_monitors: [{name: page}]
pools: [{name: web, monitor: page}, {name: idle}]
pool_members:
  - {name: a, pool: web, address: 10.0.0.5, port: 80}
  - {name: b, pool: web, address: 10.0.0.6, port: 80}
  - {name: c, pool: idle, address: 10.0.0.7, port: 80}
"""
)


@pytest.fixture
def balanced(store: str) -> None:
    client = opened(store)
    client.apply(load(BALANCED))
    row = MemberStatus(host="c1", member="a", healthy=False, reason="HTTP 503", since_s=86400.0)
    client.put([row])
    while not client.idle:
        client.run()
        client.wait(1.0)


@pytest.mark.usefixtures("balanced")
def test_members_are_listed_with_their_health() -> None:
    told = {
        member["name"]: member["health"] for member in json.loads(printed("get", "pool-members"))
    }
    assert told["a"] == {
        "state": "unhealthy", "since_s": 86400.0, "reason": "HTTP 503", "host": "c1",
    }  # fmt: skip
    assert (told["b"]["state"], told["c"]["state"]) == ("unknown", "not monitored")
    assert got("pool-member", "a")["health"] == told["a"]
    line = printed("get", "pool-members", "-o", "table").splitlines()[1]
    assert line.split()[-5:] == [
        "unhealthy", "since", "1970-01-02T00:00:00+00:00:", "HTTP", "503",
    ]  # fmt: skip


@pytest.mark.usefixtures("balanced")
def test_a_member_is_described_with_its_health() -> None:
    assert "health          unhealthy since 1970" in printed(
        "describe", "pool_member", "a", "-o", "table"
    )
    assert json.loads(printed("describe", "pool_member", "a"))["health"]["reason"] == "HTTP 503"
    assert "health" not in json.loads(printed("describe", "pool", "web"))


# describe


def test_an_object_is_described_with_its_users_and_state(store: str) -> None:
    client = opened(store)
    client.put([PortStatus(host="c1", port="vm", up=True)])
    client.flush(10)
    told = json.loads(printed("describe", "port", "vm"))
    assert told["object"]["device"] == "net"
    assert told["used_by"] == [{"kind": "port_group", "name": "g", "field": "ports"}]
    assert told["state"]["port_statuses"][0]["up"] is True
    text = printed("describe", "port", "vm", "-o", "table")
    assert ["addresses", "10.0.0.5"] in map(str.split, text.splitlines())
    assert "port_group  g     ports" in text
    assert "port_statuses" in text


# create, set, delete


def test_an_object_is_made_of_words() -> None:
    made = ("device=net", "addresses=10.0.0.6,fd00::6", "admin_state_up=no", "tunnel_key=77")
    assert printed("create", "port", "new", *made) == "put port 'new'\n"
    new = got("port", "new")
    assert (new["addresses"], new["admin_state_up"]) == (["10.0.0.6", "fd00::6"], False)
    assert new["tunnel_key"] == 77


def test_an_object_that_names_itself_needs_no_name() -> None:
    printed("create", "route", "router=r", "destination=10.1.0.0/16", "type=blackhole")
    assert got("route", "r 10.1.0.0/16 blackhole")["weight"] == 100


def test_every_mistake_is_told_and_nothing_is_made() -> None:
    assert refused("create", "port", "new", "mac=zz", "x=1", "addresses=10.0.0,::1") == [
        "onehop: port 'new': x: unknown field; there are name, device, mac, addresses, mtu, "
        "peer, host, interface, admin_state_up, tunnel_key, inbound_filter, "
        "outbound_filter, security_groups, port_security, allowed_address_pairs, tenant, "
        "shared",
        "onehop: port 'new': device: is missing",
        "onehop: port 'new': mac: 'zz' is not right: expected a MAC address like "
        "02:00:00:00:00:01",
        "onehop: port 'new': addresses: '10.0.0' is not an address like 10.0.0.5/24 or fd00::5/64",
    ]
    assert refused("create", "port", "new", "device=none", "host=c1") == [
        "onehop: port 'new': device: there is no bridge or router 'none'",
        "onehop: port 'new': interface: is missing; a port with a host has an interface",
    ]
    assert refused("create", "bridge", "a", "b") == [
        "onehop: one object has one name, not 'a' 'b'"
    ]
    assert refused("get", "port", "new")


def test_what_is_there_is_not_made_again() -> None:
    assert refused("create", "bridge", "net") == ["onehop: there is a bridge 'net' already"]


def test_what_hosts_find_out_is_not_for_users() -> None:
    for command in (["create", "neighbor", "x=y"], ["delete", "neighbors", "n"]):
        assert "is what hosts find out" in refused(*command)[0]


def test_fields_are_set_added_to_taken_from_and_reset() -> None:
    key = got("port", "vm")["tunnel_key"]
    printed("set", "port", "vm", "addresses+=10.0.0.6,fd00::6", "addresses-=10.0.0.5",
            "admin_state_up=false")  # fmt: skip
    vm = got("port", "vm")
    assert (vm["addresses"], vm["admin_state_up"]) == (["10.0.0.6", "fd00::6"], False)
    assert (vm["interface"], vm["tunnel_key"]) == ("tap", key)
    printed("set", "port", "vm", "addresses=", "admin_state_up=", "host=", "interface=")
    vm = got("port", "vm")
    assert (vm["addresses"], vm["admin_state_up"], vm["host"]) == ([], True, None)
    assert printed("set", "port", "vm", "device=net") == "nothing to change\n"


def test_a_bad_change_changes_nothing() -> None:
    assert refused("set", "port", "vm", "name=x") == [
        "onehop: port 'vm': name: cannot become 'x': a name never changes"
    ]
    assert refused("set", "port", "vm", "addresses=10.0.0.6", "addresses=10.0.0.7") == [
        "onehop: port 'vm': addresses: stands twice; put commas between several values"
    ]
    assert refused("set", "port", "vm", "mac+=1") == [
        "onehop: port 'vm': mac: holds one value; use = instead"
    ]
    assert refused("set", "port", "vm", "mac") == ["onehop: 'mac' is not of the form field=value"]
    assert refused("set", "bridge", "net", "tunnel_key=many") == [
        "onehop: bridge 'net': tunnel_key: 'many' is not right: expected int, got str"
    ]
    assert refused("set", "port", "nobody", "mac=") == ["onehop: there is no port 'nobody'"]


def test_what_is_used_is_not_removed_and_its_users_are_named() -> None:
    assert refused("delete", "bridge", "net", "other") == [
        "onehop: bridge 'net' is used by port 'net-r' (device), port 'vm' (device), "
        "port 'vm2' (device)"
    ]
    assert refused("delete", "port", "net-r") == [
        "onehop: port 'net-r' is used by port 'r-net' (peer)"
    ]
    assert len(got("bridges")) == 2


def test_objects_that_use_only_each_other_go_together() -> None:
    assert printed("delete", "port", "net-r", "r-net", "--json").count('"kind"') == 2
    assert printed("delete", "bridge", "other") == "removed bridge 'other'\n"


# host


def test_a_port_is_bound_moved_and_unplugged() -> None:
    assert printed("host", "bind", "vm2", "c2", "tap9") == "put port 'vm2'\n"
    printed("host", "bind", "vm", "c2", "tap0")
    assert (got("port", "vm")["host"], got("port", "vm")["interface"]) == ("c2", "tap0")
    printed("host", "unbind", "vm")
    assert (got("port", "vm")["host"], got("port", "vm")["interface"]) == (None, None)
    assert refused("host", "bind", "vm", "c2", "tap9") == [
        "onehop: port 'vm': interface: 'tap9' of 'c2' is already that of port 'vm2'"
    ]


# files


def test_what_is_exported_is_applied_unchanged(tmp_path: pathlib.Path) -> None:
    text = printed("export")
    assert printed("apply", "-f", "-", stdin=text) == "nothing to change\n"
    (tmp_path / "file").write_text(text)
    assert printed("diff", "-f", tmp_path / "file") == ""


def test_differences_are_shown_and_nothing_happens() -> None:
    before = printed("export")
    changed = FILE.replace("10.0.0.5", "10.0.0.7, fd00::7").replace("{name: other}", "{name: b}")
    result = onehop("diff", "-f", "-", stdin=changed)
    assert result.exit_code == 3
    added, changed_port, removed = result.stdout.splitlines()
    assert added.startswith("+ bridge 'b': admin_state_up true, tunnel_key ")
    assert changed_port == "~ port 'vm': addresses 10.0.0.5 -> 10.0.0.7, fd00::7"
    assert removed == "- bridge 'other'"
    told = json.loads(onehop("diff", "-f", "-", "--json", stdin=changed).stdout)
    assert [(item["kind"], item["name"]) for item in told] == [
        ("bridge", "b"), ("port", "vm"), ("bridge", "other"),
    ]  # fmt: skip
    assert told[0]["before"] is None and told[2]["after"] is None
    assert printed("export") == before


def test_a_store_that_does_not_answer_is_a_failure(tmp_path: pathlib.Path) -> None:
    absent = ["--store", f"unix:{tmp_path}/none", "--timeout", "0.1"]
    for command in (["get", "ports"], ["create", "bridge", "b"], ["export"]):
        result = onehop(*command, *absent)
        assert result.exit_code == 1
        assert result.stderr == f"onehop: the store at unix:{tmp_path}/none does not answer\n"


# Completion.


@pytest.mark.parametrize(
    "words, offered",
    [
        (["get", "port_g"], ["port_groups"]),
        (["create", "po"], ["pool", "pool_member", "port", "port_group"]),
        (["get", "ports", "vm"], ["vm", "vm2"]),
        (["describe", "port", "r"], ["r-net"]),
        (["delete", "bridges", "net", "o"], ["other"]),
        (["set", "port", "vm", "in"], ["inbound_filter=", "interface="]),
        (["create", "port", "x", "device="], ["device=net", "device=other", "device=r"]),
        (["set", "port_group", "g", "ports+=vm,v"], ["ports+=vm,vm", "ports+=vm,vm2"]),
        (["create", "route", "type=re"], ["type=reject"]),
        (["host", "bind", "vm", "c"], ["c1", "c2"]),
        (["get", "nonsense", ""], []),
    ],
)
def test_the_shell_is_offered(words: list[str], offered: list[str]) -> None:
    env = {
        **os.environ,
        "_ONEHOP_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["onehop", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = subprocess.run(
        [sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True
    )
    assert sorted(result.stdout.split()) == sorted(offered)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    env = {**os.environ, "_ONEHOP_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-c", CODE]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert f"_ONEHOP_COMPLETE=complete_{shell}" in shown


def test_bash_completes_names(store: str) -> None:
    """Bash itself, with the script that it is given."""
    onehop_path = pathlib.Path(sys.executable).with_name("onehop")
    script = """
    eval "$(_ONEHOP_COMPLETE=source_bash onehop)"
    COMP_WORDS=(onehop describe port v) COMP_CWORD=3
    _onehop_completion onehop v port
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{onehop_path.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["vm", "vm2"], "")
