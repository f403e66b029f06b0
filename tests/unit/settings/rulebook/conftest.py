"""What the tests of a changing rules file share."""

from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from config import rulebook
from tests.support.rulebooks import Watch, watch_in


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """Return what hears all that the rulebook logs."""
    heard = CapturingLogger()
    monkeypatch.setattr(rulebook, "log", heard)
    return heard


@pytest.fixture
def watch(tmp_path: Path, log: CapturingLogger) -> Watch:
    return watch_in(tmp_path)
