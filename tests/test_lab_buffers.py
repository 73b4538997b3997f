"""The kernel's default for buffers, widened for a lab and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from onehop.lab.buffers import ROOM_BYTES, restore, widen


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    path = tmp_path / "setting"
    path.write_text("212992\n")
    return path


def test_what_was_widened_is_put_back(tmp_path: Path, setting: Path) -> None:
    widen(tmp_path, setting)
    assert int(setting.read_text()) == ROOM_BYTES
    restore(tmp_path, setting)
    assert setting.read_text() == "212992\n"


def test_what_is_wide_enough_is_left_alone(tmp_path: Path, setting: Path) -> None:
    setting.write_text(f"{2 * ROOM_BYTES}\n")
    widen(tmp_path, setting)
    restore(tmp_path, setting)
    assert int(setting.read_text()) == 2 * ROOM_BYTES


def test_what_somebody_else_changed_is_left_to_them(tmp_path: Path, setting: Path) -> None:
    widen(tmp_path, setting)
    setting.write_text("1000000\n")
    restore(tmp_path, setting)
    assert setting.read_text() == "1000000\n"
