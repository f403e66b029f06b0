"""Tests of the settings see neither the machine's own variables nor the project's ``.env`` file."""

from pathlib import Path

import pytest

from tests.support.environment import VARIABLES


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder, with none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
