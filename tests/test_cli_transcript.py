"""The sessions in docs/cli.md and docs/tour.md, run by a shell as they stand there.

In a page, "$ " is before a command and "> " before the lines that go on with it; "onehop> " is
before what is typed into `onehop shell`.  All other lines are what is printed, where "…" stands
for what differs from run to run.
"""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from onehop.controller.store import server

DOCS = pathlib.Path(__file__).parent.parent / "docs"
MARK = "--- the command has ended ---"
TYPED = "onehop> "


class Command(NamedTuple):
    """A command of a page, what is typed into it, and what it prints."""

    text: str
    typed: str
    printed: list[str]


def session(page: str) -> list[Command]:
    text = (DOCS / page).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    parts = re.split(r"^\$ ", "".join(blocks), flags=re.MULTILINE)
    assert parts[0] == "" and len(parts) > 5
    return [_command(part.splitlines()) for part in parts[1:]]


def _command(lines: list[str]) -> Command:
    more = [line for line in lines[1:] if line.startswith("> ")]
    typed = [line for line in lines[1:] if line.startswith(TYPED)]
    printed = [line for line in lines[1:] if line not in (*more, *typed)]
    whole = [lines[0], *(line.removeprefix("> ") for line in more)]
    return Command(
        "\n".join(whole), "\n".join(line.removeprefix(TYPED) for line in typed), printed
    )


def run(commands: list[Command], directory: pathlib.Path, **env: str) -> list[list[str]]:
    """What one shell prints after each command."""
    script = ""
    for number, command in enumerate(commands):
        (directory / f".typed{number}").write_text(command.typed)
        script += f"exec < .typed{number}\n{command.text}\necho '{MARK}'\n"
    (directory / ".script").write_text(script)
    bin_path = pathlib.Path(sys.executable).parent
    here = {**os.environ, "PATH": f"{bin_path}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(
        ["bash", ".script"],
        env={**here, **env}, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    outputs = result.stdout.split(f"{MARK}\n")
    assert outputs.pop() == "" and len(outputs) == len(commands)
    return [[line.rstrip() for line in output.splitlines()] for output in outputs]


def agrees(commands: list[Command], outputs: list[list[str]]) -> None:
    for command, lines in zip(commands, outputs, strict=True):
        expected = "\n".join(line.rstrip() for line in command.printed)
        pattern = ".+".join(map(re.escape, expected.split("…")))
        assert re.fullmatch(pattern, "\n".join(lines)), (command.text, "\n".join(lines))


@pytest.fixture
def remote(tmp_path: pathlib.Path) -> Iterator[str]:
    address = f"unix:{tmp_path}/store.sock"
    server.start(tmp_path, [address])
    yield address
    server.stop(tmp_path)


def test_the_session_goes_as_the_page_says(remote: str, tmp_path: pathlib.Path) -> None:
    commands = session("cli.md")
    agrees(commands, run(commands, tmp_path, ONEHOP_STORE=remote))


def test_the_tour_starts_from_nothing_and_goes_as_the_page_says(tmp_path: pathlib.Path) -> None:
    commands = session("tour.md")
    try:
        agrees(commands, run(commands, tmp_path))
    finally:
        server.stop(tmp_path / "store")


def test_all_that_midonet_could_do_is_done_in_no_more_words(remote: str) -> None:
    table = (DOCS / "cli.md").read_text().partition("| MidoNet | onehop |")[2]
    rows = re.findall(r"^\| `(.*)` \| `(.*)` \|$", table, re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if len(row[1].split()) > len(row[0].split())] == []
    command = [pathlib.Path(sys.executable).with_name("onehop"), "shell", "--store", remote]
    lines = "\n".join(ours for _, ours in rows)
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to change" not in done.stdout
