"""`onehop store` and `onehop apply` as a user runs them."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from stores import close_stores, opened  # noqa: F401
from typer.testing import CliRunner, Result

from onehop.controller.cli import app
from onehop.controller.store import server
from onehop.engine import model
from onehop.engine.model import Bridge, Host, Port, PortStatus, Topology, load

FILE = """
hosts: [{name: h, tunnel_address: 10.9.0.1}]
bridges: [{name: net}]
ports: [{name: vm, device: net, host: h, interface: tap}]
"""


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    yield tmp_path
    server.stop(tmp_path)


@pytest.fixture
def remote(directory: pathlib.Path) -> str:
    """The address of a server that the command line started."""
    address = f"unix:{directory}/run/store.sock"
    result = onehop("store", "run", "--detach", "--directory", directory, "--remote", address)
    assert (result.exit_code, result.stderr) == (0, "")
    return address


def onehop(*args: object, stdin: str = "", env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, env=env)


def test_a_file_is_applied_shown_and_applied_again(remote: str) -> None:
    first = onehop("apply", "-f", "-", "--store", remote, stdin=FILE)
    assert first.stdout.splitlines() == ["put host 'h'", "put bridge 'net'", "put port 'vm'"]
    shown = onehop("store", "dump", "--store", remote)
    assert (shown.exit_code, shown.stderr) == (0, "")
    held = load(shown.stdout)
    assert held.hosts == (Host(name="h", tunnel_address="10.9.0.1"),)
    again = onehop("apply", "-f", "-", stdin=shown.stdout, env={"ONEHOP_STORE": remote})
    assert again.stdout == "nothing to change\n"


def test_what_changed_is_told_in_json(remote: str) -> None:
    onehop("apply", "-f", "-", "--store", remote, stdin=FILE)
    less = FILE.replace("ports:", "#").replace("10.9.0.1", "10.9.0.2")
    result = onehop("apply", "-f", "-", "--store", remote, "--json", stdin=less)
    assert json.loads(result.stdout) == {
        "put": [{"kind": "host", "name": "h"}],
        "removed": [{"kind": "port", "name": "vm"}],
    }


def test_state_is_shown_on_request(remote: str) -> None:
    store = opened(remote)
    store.apply(Topology.of([Host(name="h", tunnel_address="1.2.3.4"), Bridge(name="b"),
                             Port(name="p", device="b", host="h", interface="i")]))  # fmt: skip
    store.put([PortStatus(host="h", port="p", up=False)])
    store.flush(10)
    held = json.loads(onehop("store", "dump", "--store", remote, "--state").stdout)
    assert held["port_statuses"] == [{"host": "h", "port": "p", "up": False}]
    assert [port["name"] for port in held["ports"]] == ["p"]
    stated = json.loads(onehop("store", "dump", "--store", remote, "--json").stdout)
    assert stated.keys() == held.keys() - {kind.PLURAL for kind in model.STATE}


def test_a_file_with_mistakes_is_bad_input_with_a_line_for_each(remote: str) -> None:
    result = onehop(
        "apply", "-f", "-", "--store", remote, stdin=FILE.replace("net}", "nett, x: 1}")
    )
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "onehop: bridge 'nett': x: unknown field; there are name, admin_state_up, tunnel_key, "
        "inbound_filter, outbound_filter, tenant, shared",
        "onehop: port 'vm': device: there is no bridge or router 'net'",
    ]


def test_a_store_that_does_not_answer_is_a_failure(tmp_path: pathlib.Path) -> None:
    absent = f"unix:{tmp_path}/none"
    for command in (["apply", "-f", "-"], ["store", "dump"]):
        result = onehop(*command, "--store", absent, "--timeout", 0.1, stdin=FILE)
        assert result.exit_code == 1
        assert result.stderr == f"onehop: the store at {absent} does not answer\n"


def test_a_server_runs_in_the_foreground_until_it_is_stopped(directory: pathlib.Path) -> None:
    remote = f"unix:{directory}/store.sock"
    code = "from onehop.controller.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "store", "run", "--directory", directory, "--remote", remote]
    )
    opened(remote).until_connected(20)
    assert server.running(directory) == process.pid
    assert onehop("store", "stop", "--directory", directory).exit_code == 0
    assert process.wait(10) is not None
    assert not (directory / "store.sock").exists()


def test_a_second_server_over_one_directory_is_refused(
    remote: str, directory: pathlib.Path
) -> None:
    result = onehop("store", "run", "--detach", "--directory", directory, "--remote", remote)
    assert result.exit_code == 1
    assert "already running" in result.stderr and len(result.stderr.splitlines()) == 1


def test_an_address_that_makes_no_sense_is_bad_input(directory: pathlib.Path) -> None:
    result = onehop("store", "run", "--directory", directory, "--remote", "store.sock")
    assert result.exit_code == 2
    assert result.stderr.startswith("onehop: 'store.sock' is not an address like unix:PATH")


def test_a_client_refuses_an_address_that_makes_no_sense(tmp_path: pathlib.Path) -> None:
    result = onehop("store", "dump", "--store", "here", "--timeout", 0.1)
    assert result.exit_code == 2
    assert result.stderr.startswith("onehop: 'here' is not an address like unix:PATH")


def test_the_schema_is_what_ovsdb_takes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "schema").write_text(onehop("store", "schema").stdout)
    tool = server.find_program("ovsdb-tool")
    result = subprocess.run(
        [tool, "schema-name", tmp_path / "schema"], capture_output=True, text=True
    )
    assert result.stdout == "onehop\n"
