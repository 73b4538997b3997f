"""The session in docs/cli.md, run as it stands there over a real store."""

import pathlib
import re
import shlex
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from onehop.controller.cli import app
from onehop.controller.store import server

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "cli.md"


@pytest.fixture
def remote(tmp_path: pathlib.Path) -> Iterator[str]:
    address = f"unix:{tmp_path}/store.sock"
    server.start(tmp_path, [address])
    yield address
    server.stop(tmp_path)


def session() -> list[tuple[str, str]]:
    """The commands and what is printed after each."""
    found = re.search(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    parts = re.split(r"^\$ onehop (.*)\n", found[1], flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def test_the_session_goes_as_the_page_says(
    remote: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEHOP_STORE", remote)
    monkeypatch.chdir(tmp_path)
    for command, printed in session():
        words, _, file = command.partition(" > ")
        result = CliRunner().invoke(app, shlex.split(words))
        assert result.exit_code in (0, 2, 3), (command, result.output)
        if file:
            (tmp_path / file).write_text(result.stdout)
        shown = "" if file else result.output
        assert [line.rstrip() for line in shown.splitlines()] == printed.splitlines(), command
