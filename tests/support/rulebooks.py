"""Provides rulebooks on files that a test writes, with a clock that the test advances."""

import os
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from structlog.testing import CapturingLogger

from config.rulebook import Rulebook
from config.rules import parse_rules
from tests.support.processes import TEN

TWENTY = TEN.replace("10", "20")  # as long as TEN
THIRTY = TEN.replace("10", "30")
MANY = TWENTY + "  - {name: another, grant: {api_usage: 5}}\n"
HALF_OF_MANY = MANY[:-20]
BROKEN = TWENTY.replace("grant:", "grnat:")

LONG_ENOUGH = 2.0  # seconds after its last change at which a file is read

_moments = count(1_700_000_000_000_000_000, 1_000_000_000)


@dataclass
class Clock:
    """A monotonic clock that only moves when a test advances it."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@dataclass
class Watch:
    """A rules file and its rulebook, checked as a worker's tick does."""

    path: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rulebook = Rulebook(self.path, self.clock)

    def check_after(self, seconds: float) -> None:
        """Advance the clock, then check the file once."""
        self.clock.seconds += seconds
        self.rulebook.reload_if_changed()

    def check_twice(self) -> None:
        """Check the file twice, so that a change is seen and then found to be stable."""
        self.check_after(0)
        self.check_after(LONG_ENOUGH)

    @property
    def version(self) -> str:
        """Return the version of the rules in force."""
        return self.rulebook.current().digest


def write(path: Path, text: str) -> Path:
    """Write a file with a new modification time, which two quick writes might otherwise share."""
    path.write_text(text)
    moment = next(_moments)
    os.utime(path, ns=(moment, moment))
    return path


def watch_in(folder: Path) -> Watch:
    """Return a watch on a new file with one rule that grants ten credits."""
    return Watch(write(folder / "rules.yaml", TEN))


def version_of(text: str) -> str:
    """Return the version of the rules in ``text``."""
    return parse_rules(text, "rules.yaml").digest


def levels(log: CapturingLogger) -> list[str]:
    """Return the level of each logged line."""
    return [call.method_name for call in log.calls]
