"""The root of the command line: what it lists, how it ends."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from onehop.controller import cli
from onehop.controller.cli.output import CommandError, InputError
from onehop.engine.model import ModelError, Problem


def onehop(*args: str) -> "subprocess.CompletedProcess[str]":
    code = "from onehop.controller.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)


def test_help_lists_every_subcommand_without_importing_it() -> None:
    code = (
        "import sys\nfrom onehop.controller import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "assert not {'ryu', 'eventlet', 'mininet', 'ovs', 'numpy', 'rich'} & set(sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name, subcommand in cli.COMMANDS.items():
        assert name in shown and subcommand.help in shown


def test_version_is_shown() -> None:
    assert onehop("--version").stdout.startswith("onehop 0.")


def test_unknown_subcommand_is_a_usage_error_with_a_suggestion() -> None:
    result = onehop("simulat")
    assert result.returncode == 2
    assert "simulate" in result.stderr


@pytest.mark.parametrize(
    "error, code, lines",
    [
        (CommandError("it broke"), 1, ["onehop: it broke"]),
        (FileNotFoundError(2, "Gone", "x.yaml"), 1, ["onehop: [Errno 2] Gone: 'x.yaml'"]),
        (InputError("no such port"), 2, ["onehop: no such port"]),
        (
            ModelError([Problem("port", "a", "peer", "wrong"), Problem("host", "", "x", "bad")]),
            2,
            ["onehop: port 'a': peer: wrong", "onehop: host: x: bad"],
        ),
    ],
)  # fmt: skip
def test_expected_errors_end_with_a_line_each_and_their_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, lines: list[str]
) -> None:
    result = run_failing_command(monkeypatch, error)
    assert (result.exit_code, result.stderr.splitlines()) == (code, lines)


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(run_failing_command(monkeypatch, ValueError("bug")).exception, ValueError)


def run_failing_command(monkeypatch: pytest.MonkeyPatch, error: Exception):  # type: ignore[no-untyped-def]
    failing = typer.Typer()

    @failing.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "load_command", lambda name: typer.main.get_command(failing))
    return CliRunner().invoke(cli.app, ["store"])
