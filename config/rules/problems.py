"""What is wrong with a file: every problem, each with its place and worded as one line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from config.errors import ConfigError

T = TypeVar("T")
Source = TypeVar("Source")
Default = TypeVar("Default")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a piece of a file stands: line and column count from 1, ``path`` is the keys to it."""

    line: int
    column: int
    path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake in a file; ``str()`` is the line that a user reads."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        """Return ``file:line:column: path: message``, without the path where there is none."""
        subject = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {subject}{self.message}"


class RulesError(ConfigError):
    """The rules cannot be used; ``problems`` says why, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems, of which there is at least one."""
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return all problems, one a line."""
        return "\n".join(map(str, self.problems))


class NodeError(Exception):
    """One piece of a file cannot be read; a ``Report`` turns it into a problem."""

    def __init__(self, place: Place, message: str) -> None:
        """Take the place to point at and what to say of it."""
        super().__init__(message)
        self.place = place


# By place and message: what an alias brings in twice is still one mistake.
_Found = dict[tuple[int, int, str], Problem]


class Report:
    """Collects the problems of one file, so that a user sees them all at once."""

    def __init__(self, file: str) -> None:
        """Begin without problems; ``file`` is the name to show."""
        self._file = file
        self._problems: _Found = {}
        self._warnings: _Found = {}

    def add(self, place: Place, message: str) -> None:
        """Note one problem."""
        self._note(self._problems, place, message)

    def warn(self, place: Place, message: str) -> None:
        """Note what is no mistake for certain."""
        self._note(self._warnings, place, message)

    def _note(self, found: _Found, place: Place, message: str) -> None:
        problem = Problem(
            file=self._file, line=place.line, column=place.column, path=place.path, message=message
        )
        found.setdefault((place.line, place.column, message), problem)

    def read(self, reader: Callable[[Source], T], source: Source | None, default: Default) -> T | Default:
        """Return what ``reader`` makes of ``source``; ``default`` if absent or not readable.

        What keeps it from being read is noted.
        """
        if source is None:
            return default
        try:
            return reader(source)
        except NodeError as error:
            self.add(error.place, str(error))
            return default

    @property
    def has_problems(self) -> bool:
        """Return whether any problem was noted."""
        return bool(self._problems)

    def error(self) -> RulesError:
        """Return every problem noted as one error, in the order of the file."""
        return RulesError(_in_order(self._problems))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return every warning noted, in the order of the file."""
        return _in_order(self._warnings)


def _in_order(found: _Found) -> tuple[Problem, ...]:
    return tuple(sorted(found.values(), key=lambda one: (one.line, one.column)))
