"""A change whose answer gets lost on the way."""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import close_stores, opened  # noqa: F401

from onehop.controller.objects import create_decision
from onehop.controller.store import client, server
from onehop.controller.store.client import StoreError
from onehop.engine.model import Bridge

DEADLINE_S = 30.0


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    server.start(tmp_path, [f"unix:{tmp_path}/store.sock"])
    yield tmp_path
    server.stop(tmp_path)


class Cutter:
    """Passes bytes on to a server; once it has passed on a change, it tells nobody the answer."""

    def __init__(self, path: pathlib.Path, server: pathlib.Path) -> None:
        self.path, self._server = path, server
        self.cut = threading.Event()
        self.listen()

    def listen(self) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if b'"transact"' in data and not self.cut.is_set():
                    self.cut.set()
                    self.path.unlink()
                    self._listening.close()
                    one.shutdown(socket.SHUT_RDWR)
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("kept", [2048, 10])
def test_a_change_whose_answer_was_lost_happens_once_whatever_others_change_meanwhile(
    tmp_path: pathlib.Path, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(client, "LAST_CHANGES", kept)
    other = opened(f"unix:{directory}/store.sock")
    other.change(create_decision([Bridge(name="first")]))
    cutter = Cutter(tmp_path / "between", directory / "store.sock")
    store = opened(f"unix:{cutter.path}")
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(store.change, create_decision([Bridge(name="mine")]), DEADLINE_S)
        assert cutter.cut.wait(DEADLINE_S)
        while ("bridge", "mine") not in other.held:
            other.wait(DEADLINE_S)
            other.run()
        for n in range(100):
            other.change(create_decision([Bridge(name=f"b{n}")]))
        cutter.listen()
        if kept > 100:
            assert [bridge.name for bridge in change.result().put] == ["mine"]
        else:
            with pytest.raises(StoreError, match="cannot say whether it changed"):
                change.result()
    assert len(other.topology().bridges) == 102
