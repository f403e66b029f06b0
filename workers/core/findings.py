"""Defines a finding of ``credits check``: an error, a warning, or the confirmation that a check passed."""

from typing import Literal

from msgspec import Struct

Level = Literal["error", "warning", "ok"]


class FilePlace(Struct, frozen=True, kw_only=True):
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int


class Finding(Struct, frozen=True, kw_only=True):
    """The result of one check: ``what`` was checked, and the ``detail`` to report."""

    level: Level
    what: str
    detail: str
    place: FilePlace | None = None
    """Where in the rules file it is."""
