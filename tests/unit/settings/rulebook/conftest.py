"""Fixtures for a rules file that changes."""

from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from config import rulebook
from tests.support.rulebooks import Watch, watch_in


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """Return a logger that keeps all calls of the rulebook."""
    heard = CapturingLogger()
    monkeypatch.setattr(rulebook, "log", heard)
    return heard


@pytest.fixture
def watch(tmp_path: Path, log: CapturingLogger) -> Watch:
    return watch_in(tmp_path)
