"""The process that asks members whether they are well: one for all monitors of a host.

    python -m onehop.controller.agent.checker

It reads a line of JSON whenever there is something else to ask, the whole list of `Question`; it
writes one for each new verdict, `Answer`.  It ends when nobody writes to it any more, so it never
outlives the agent.

1. A socket belongs to the namespace that it was made in; the process itself stays where it is.
2. From one question to a member to the next is its interval, however long an answer takes.
3. What did not change goes on as it is: neither its rhythm nor what was counted is lost.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys

import msgspec

from onehop.controller.agent.checks import Check, Judge
from onehop.controller.agent.netns import entered

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r?\n)")
LINE_BYTES = 4096
LIST_BYTES = 1 << 26  # the longest list of questions
SETTLED = "2", "3"  # the first digit of a good answer's status


class Question(msgspec.Struct, frozen=True):
    """Whom to ask, from which namespace."""

    namespace: str
    check: Check


class Answer(msgspec.Struct, frozen=True):
    """What a monitor thinks of a member now."""

    member: str
    healthy: bool
    reason: str  # why not


async def ask(question: Question) -> str:
    """Ask once; what is wrong with the answer, or ""."""
    check = question.check
    try:
        async with asyncio.timeout(check.timeout_s):
            return await _answer(question)
    except TimeoutError:
        return f"no answer in {check.timeout_s:g} s"
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)).lower()


async def _answer(question: Question) -> str:
    check, loop = question.check, asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in check.address else socket.AF_INET
    with entered(question.namespace):
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with sock:
        await loop.sock_connect(sock, (check.address, check.port))
        if check.type == "tcp":
            return ""
        await loop.sock_sendall(sock, _request(check))
        return _problem(await _first_line(sock))


def _request(check: Check) -> bytes:
    host = f"[{check.address}]" if ":" in check.address else check.address
    head = f"GET {check.path} HTTP/1.1\r\nHost: {host}:{check.port}\r\n"
    return f"{head}User-Agent: onehop\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()


async def _first_line(sock: socket.socket) -> bytes:
    said = b""
    while b"\n" not in said and len(said) < LINE_BYTES:
        part = await asyncio.get_running_loop().sock_recv(sock, LINE_BYTES)
        if not part:
            break
        said += part
    return said


def _problem(said: bytes) -> str:
    found = STATUS_LINE.match(said)
    if not found:
        return "the answer is not HTTP" if said else "closed without an answer"
    status = found[1].decode()
    return "" if status.startswith(SETTLED) else f"HTTP {status}"


async def watch(question: Question) -> None:
    """Ask again and again, and tell each new verdict."""
    check, loop = question.check, asyncio.get_running_loop()
    judge = Judge(rise=check.rise, fall=check.fall)
    next_s = loop.time()
    while True:
        if verdict := judge.heard(await ask(question)):
            _tell(Answer(check.member, *verdict))
        next_s = max(loop.time(), next_s + check.interval_s)
        await asyncio.sleep(next_s - loop.time())


def _tell(answer: Answer) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(answer) + b"\n")


async def serve() -> None:
    """Ask what the lines of standard input say, until it ends."""
    reader = asyncio.StreamReader(limit=LIST_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    tasks: dict[Question, asyncio.Task[None]] = {}
    while line := await reader.readline():
        wanted = set(msgspec.json.decode(line, type=list[Question]))
        for question in tasks.keys() - wanted:
            tasks.pop(question).cancel()
        for question in wanted - tasks.keys():
            tasks[question] = asyncio.create_task(watch(question))


def main() -> None:
    asyncio.run(serve())


if __name__ == "__main__":
    main()
