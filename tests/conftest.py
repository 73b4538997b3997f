"""Fixtures that several test files share."""

from __future__ import annotations

import pytest

from onehop.engine.model.rules import unserved


@pytest.fixture
def all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if everything that can be described were acted on."""
    monkeypatch.setattr(unserved, "KINDS", ())
