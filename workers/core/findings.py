"""Defines a finding of ``credits check``: an error, a warning, or the confirmation that a check passed."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "ok"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePlace:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check: ``what`` was checked, and the ``detail`` to report."""

    level: Level
    what: str
    detail: str
    place: FilePlace | None = None
    """Where in the rules file it is."""
