"""Rulebooks on files that tests write, and a clock that tests move."""

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

LONG_ENOUGH = 2.0  # seconds: a file that was still for so long is looked into

_moments = count(1_700_000_000_000_000_000, 1_000_000_000)


@dataclass
class Clock:
    """A monotonic clock that stands still until it is moved."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@dataclass
class Watch:
    """A rules file with a rulebook on it, and what a tick does."""

    path: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rulebook = Rulebook(self.path, self.clock)

    def look_after(self, seconds: float) -> None:
        """Let time pass, then look."""
        self.clock.seconds += seconds
        self.rulebook.reload_if_changed()

    def notice(self) -> None:
        """Look twice, as two ticks do: a change is seen, then found to be still."""
        self.look_after(0)
        self.look_after(LONG_ENOUGH)

    @property
    def version(self) -> str:
        """Return the version in force."""
        return self.rulebook.current().digest


def write(path: Path, text: str) -> Path:
    """Write a file in place, at a moment of its own: a test may well write twice within one of the disk's."""
    path.write_text(text)
    moment = next(_moments)
    os.utime(path, ns=(moment, moment))
    return path


def watch_in(folder: Path) -> Watch:
    """Return a rulebook on a new file, whose one rule grants ten."""
    return Watch(write(folder / "rules.yaml", TEN))


def version_of(text: str) -> str:
    """Return the version that the rules in ``text`` are."""
    return parse_rules(text, "rules.yaml").digest


def levels(log: CapturingLogger) -> list[str]:
    """Return how grave each thing is that was logged."""
    return [call.method_name for call in log.calls]
