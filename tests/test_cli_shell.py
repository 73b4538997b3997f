"""The interactive shell, on a real terminal and in a pipe, over a real store."""

import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from stores import close_stores, opened  # noqa: F401

from onehop.controller.store import server
from onehop.engine.model import load

CODE = "from onehop.controller.cli import main; main()"
FILE = """
bridges: [{name: blue}, {name: black}]
ports: [{name: vm1, device: blue}, {name: vm2, device: blue}]
routers: [{name: r}]
routes: [{router: r, destination: 10.0.0.0/8, type: reject}]
"""
DEADLINE_S = 60.0  # the machine may have much else to do
PROMPT = "<ready>"  # stands for what a terminal is told before a line is read


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    directory = tmp_path_factory.mktemp("store")
    server.start(directory, [f"unix:{directory}/store.sock"])
    yield directory
    server.stop(directory)


@pytest.fixture(autouse=True)
def stop_shells() -> Iterator[None]:
    yield
    while Terminal.running:
        Terminal.running.pop().stop()


@pytest.fixture
def store(directory: pathlib.Path) -> str:
    remote = f"unix:{directory}/store.sock"
    opened(remote).apply(load(FILE))
    return remote


def environment(store: str, home: pathlib.Path) -> dict[str, str]:
    here = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    state = {"ONEHOP_STORE": store, "XDG_STATE_HOME": str(home)}
    return here | state | {"TERM": "xterm", "COLUMNS": "200", "PROMPT_TOOLKIT_NO_CPR": "1"}


class Terminal:
    """A shell on a terminal of its own, and who types there."""

    running: list["Terminal"] = []

    def __init__(self, env: dict[str, str], *args: str) -> None:
        self._fd, theirs = pty.openpty()
        command = [sys.executable, "-c", CODE, *args]
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.running.append(self)
        self.until(PROMPT)

    def until(self, text: str) -> str:
        """What is shown from now until `text` stands there; blanks, which may be moves of the
        cursor, do not count."""
        shown, deadline = "", time.monotonic() + DEADLINE_S
        while squeezed(text) not in squeezed(shown):
            left_s = deadline - time.monotonic()
            assert left_s > 0 and select.select([self._fd], [], [], left_s)[0], shown
            shown += os.read(self._fd, 65536).decode().replace("\x1b[?2004h", PROMPT)
            shown = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown)
        return shown

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def say(self, line: str) -> str:
        """Type a line; what is shown until the next prompt."""
        self.type(line)
        self.until(line[-6:])
        self.type("\r")
        return self.until(PROMPT)

    def ends(self) -> int:
        code = self._process.wait(DEADLINE_S)
        os.close(self._fd)
        return code

    def stop(self) -> None:
        if self._process.poll() is None:  # the test failed
            self._process.kill()
            self.ends()


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_commands_are_run_and_errors_do_not_end_it(store: str, tmp_path: pathlib.Path) -> None:
    shell = Terminal(environment(store, tmp_path))  # `onehop` alone
    table = shell.say("get ports").splitlines()
    assert any(line.split()[:2] == ["vm1", "blue"] for line in table), table
    assert "there is no port 'x'" in shell.say("describe port x")
    assert "No such command" in shell.say("nonsense")
    assert "No closing quotation" in shell.say("get 'ports")
    assert "put bridge 'green'" in shell.say("create bridge green")
    assert "List objects" in shell.say("help")
    assert "this is the shell" in shell.say("shell")
    shell.type("exit\r")
    assert shell.ends() == 0


def test_tab_completes_commands_kinds_names_and_fields(store: str, tmp_path: pathlib.Path) -> None:
    shell = Terminal(environment(store, tmp_path), "shell")
    shell.type("descr\t")
    shell.until("describe")
    shell.type("bridg\t")
    shell.until("bridges")
    shell.type("\x15describe route \t")  # the name has blanks
    shell.until("'r 10.0.0.0/8 reject'")
    shell.type("\x15set port vm1 devi\t")
    shell.until("device=")
    shell.type("blac\t")
    shell.until("black")
    shell.type("\r")
    assert "put port 'vm1'" in shell.until(PROMPT)
    shell.type("\x04")
    assert shell.ends() == 0


def test_lines_are_found_again_by_the_next_shell(store: str, tmp_path: pathlib.Path) -> None:
    first = Terminal(environment(store, tmp_path), "shell")
    first.say("get bridge blue -o name")
    first.type("\x04")
    first.ends()
    second = Terminal(environment(store, tmp_path), "shell")
    second.type("\x1b[A")
    second.until("get bridge blue -o name")
    second.type("\x03")  # Ctrl-C drops the line only
    second.until(PROMPT)
    second.type("\x04")
    assert second.ends() == 0


def test_one_connection_serves_all_and_shows_what_others_change(
    store: str, tmp_path: pathlib.Path
) -> None:
    shell = Terminal(environment(store, tmp_path), "shell")
    shell.say("get ports")
    before = connections(store)
    opened(store).apply(load(FILE.replace("vm2", "vm9")))
    assert "vm9" in shell.say("get ports")
    assert connections(store) == before + 1  # the test's own
    shell.type("\x04")
    shell.ends()


def connections(store: str) -> int:
    """How many hold the store's socket."""
    path = store.removeprefix("unix:")
    return sum(
        line.endswith(path) for line in pathlib.Path("/proc/net/unix").read_text().split("\n")
    )


def test_the_shell_finds_a_store_again_that_was_away(tmp_path: pathlib.Path) -> None:
    remote = f"unix:{tmp_path}/store.sock"
    server.start(tmp_path, [remote])
    shell = Terminal(environment(remote, tmp_path), "shell")
    assert "put bridge 'a'" in shell.say("create bridge a --timeout 60")
    server.stop(tmp_path)
    assert "does not answer" in shell.say("get bridges --timeout 0.1")
    server.start(tmp_path, [remote])
    assert "put bridge 'b'" in shell.say("create bridge b --timeout 60")
    shell.type("\x04")
    assert shell.ends() == 0
    server.stop(tmp_path)


def test_a_script_runs_to_its_end_and_tells_of_the_first_error(
    store: str, tmp_path: pathlib.Path
) -> None:
    lines = (
        "# a comment\n\nget bridge blue -o name\nget port x\ncreate bridge\nget port vm1 -o name\n"
    )
    command = [sys.executable, "-c", CODE, "shell"]
    env = environment(store, tmp_path)
    result = subprocess.run(command, input=lines, env=env, capture_output=True, text=True)
    assert result.stdout.split() == ["blue", "vm1"]
    assert "onehop: there is no port 'x'" in result.stderr
    assert "Missing argument" in result.stderr
    assert result.returncode == 2
    assert not (tmp_path / "onehop").exists()  # no history
    good = subprocess.run(
        command, input="get ports\nexit\nget x", env=env, capture_output=True, text=True
    )
    assert (good.returncode, good.stderr) == (0, "")


def test_onehop_alone_in_a_pipe_shows_its_help(store: str, tmp_path: pathlib.Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environment(store, tmp_path),
        capture_output=True,
        text=True,
    )
    assert "Usage: onehop" in result.stdout + result.stderr
