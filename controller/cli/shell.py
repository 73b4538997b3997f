"""`onehop shell`: the same words, line by line, over one connection to the store.

1. No second parser: a line is split into words as by a shell, and the words go to the command
   line's app.  What Tab offers is what bash would be offered.
2. Nothing that a command does ends the shell, no error and no Ctrl-C: the end of the input does,
   `exit` and `quit`.
3. Without a terminal it reads lines to their end, with neither prompt nor history, and exits with
   the code of the first command that failed.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.eventloop.inputhook import InputHookContext
from prompt_toolkit.history import FileHistory
from typer._completion_classes import BashComplete  # what bash is offered; nowhere public

from onehop.controller.cli.clients import Clients, keeping
from onehop.controller.cli.options import StoreAddress
from onehop.controller.cli.output import InputError
from onehop.controller.store.server import DEFAULT_REMOTE

app = typer.Typer(add_completion=False)

ENDS = ("exit", "quit")
INTERRUPTED = 130  # as shells say it
UPKEEP_S = 1.0  # the clients are looked after so often while nothing is typed
LAST_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"?|'[^']*'?)*$""")


@app.command()
def shell(store: StoreAddress = DEFAULT_REMOTE) -> None:
    """Read commands and run each: the words of `onehop`, without `onehop` before them.

    Tab completes, the arrows find earlier lines; `help` shows the commands, `exit` ends. Lines
    from a pipe are run as well.
    """
    os.environ["ONEHOP_STORE"] = store
    with keeping() as clients:
        command = _root()
        lines = _typed(command, clients) if sys.stdin.isatty() else iter(sys.stdin)
        codes = []
        for words in _commands(lines):
            codes.append(_run(command, words))
            sys.stdout.flush()  # whoever feeds the pipe may wait for the answer
    raise typer.Exit(next(filter(None, codes), 0) if not sys.stdin.isatty() else 0)


def _root() -> Any:
    from onehop.controller.cli import app as root

    return typer.main.get_command(root)


def _typed(command: Any, clients: Clients) -> Iterator[str]:
    """What is typed, until Ctrl-D."""
    session: PromptSession[str] = PromptSession(
        "onehop> ",
        history=FileHistory(_history()),
        completer=Offers(command),
        complete_while_typing=False,
    )

    def look_after(context: InputHookContext) -> None:
        """Keep the connections alive while nothing is typed."""
        while clients and not context.input_is_ready():
            for client in clients.values():
                client.run()
            client.wait(UPKEEP_S, context.fileno())

    while True:
        try:
            yield session.prompt(inputhook=look_after)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history() -> pathlib.Path:
    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    directory = pathlib.Path(state) / "onehop"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "history"


def _commands(lines: Iterable[str]) -> Iterator[list[str]]:
    """The words of each line until one says that it is the end."""
    for line in lines:
        words = _words(line)
        if words and words[0] in ENDS:
            return
        if words:
            yield ["--help", *words[1:]] if words[0] == "help" else words


def _words(line: str) -> list[str]:
    if line.lstrip().startswith("#"):
        return []
    try:
        return shlex.split(line)
    except ValueError as error:  # a quotation that does not end
        print(f"onehop: {error}", file=sys.stderr)
        return []


def _run(command: Any, words: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        if words[0] == "shell":
            raise InputError("this is the shell")
        command.main(words, prog_name="onehop")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except InputError as error:
        print(f"onehop: {error}", file=sys.stderr)
        return 2
    except Exception:  # a bug of ours, which the user may go on after
        traceback.print_exc()
        return 1
    return 0


class Offers(Completer):
    """What may stand where the cursor is."""

    def __init__(self, command: Any) -> None:
        self._complete = BashComplete(command, {}, "onehop", "_ONEHOP_COMPLETE")

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        found = LAST_WORD.search(text)
        last = found[0] if found else ""
        try:
            words = shlex.split(text[: len(text) - len(last)])
        except ValueError:
            return
        for item in self._complete.get_completions(words, _unquoted(last)):
            end = "" if item.value.endswith("=") else " "
            yield Completion(shlex.quote(item.value) + end, -len(last), display=item.value)


def _unquoted(word: str) -> str:
    """A word whose quotation may not have ended yet."""
    for end in ("", '"', "'"):
        try:
            return "".join(shlex.split(word + end))
        except ValueError:
            continue
    return word
