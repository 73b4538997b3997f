"""The file that remembers connections."""

from __future__ import annotations

from onehop.controller.agent import memory
from onehop.controller.agent.memory import open_memory

SIZE = 8192


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path):
    first = open_memory(str(tmp_path / "run"), "c1", SIZE)
    first[5:10] = b"state"
    again = open_memory(str(tmp_path / "run"), "c1", SIZE)  # the first was never closed
    assert again[5:10] == b"state"
    assert len(again) == SIZE


def test_file_is_its_owners_alone(tmp_path):
    open_memory(str(tmp_path), "c1", SIZE)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_each_host_has_its_own(tmp_path):
    open_memory(str(tmp_path), "c1", SIZE)[0] = 1
    assert open_memory(str(tmp_path), "c2", SIZE)[0] == 0
    assert open_memory(str(tmp_path), "c1", SIZE)[0] == 1


def test_another_size_begins_anew(tmp_path):
    open_memory(str(tmp_path), "c1", SIZE)[0] = 1
    assert open_memory(str(tmp_path), "c1", 2 * SIZE)[:] == bytes(2 * SIZE)


def test_another_boot_begins_anew_and_leaves_no_old_file(tmp_path, monkeypatch):
    open_memory(str(tmp_path / "run"), "c1", SIZE)[0] = 1
    boot = tmp_path / "boot"
    boot.write_text("another-boot")
    monkeypatch.setattr(memory, "BOOT_ID", boot)
    assert open_memory(str(tmp_path / "run"), "c1", SIZE)[0] == 0
    assert len(list((tmp_path / "run").iterdir())) == 1
