"""The problems of a rules file: each is one line with its place, and all are reported together."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from config.errors import ConfigError

T = TypeVar("T")
Source = TypeVar("Source")
Default = TypeVar("Default")

_RULE_INDEX = re.compile(r"rules\[(\d+)\]")


class Place(Struct, frozen=True, kw_only=True):
    """A position in the file. Line and column count from 1; ``path`` is made of the keys that lead to it."""

    line: int
    column: int
    path: str = ""


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake in a file; ``str()`` is the line that a user reads.

    ``rule`` names the rule with the mistake; empty outside of rules, or if the name cannot be read.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    rule: str = ""

    def __str__(self) -> str:
        """Return ``file:line:column: path: message (rule name)``, without the parts that are empty."""
        path = f"{self.path}: " if self.path else ""
        rule = f" (rule {self.rule})" if self.rule else ""
        return f"{self.file}:{self.line}:{self.column}: {path}{self.message}{rule}"


class RulesError(ConfigError):
    """The rules cannot be used; ``problems`` has every reason, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Take the problems: at least one."""
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return all problems, one on each line."""
        return "\n".join(map(str, self.problems))


class NodeError(Exception):
    """A node of the file cannot be read; a ``Report`` turns this into a problem."""

    def __init__(self, place: Place, message: str) -> None:
        """Take the place to point at and the message for the user."""
        super().__init__(message)
        self.place = place


# Aliases can repeat a text with a mistake. It is still one mistake, so line, column and message are unique.
_Findings = dict[tuple[int, int, str], tuple[Place, str]]


class Report:
    """Collects the problems and warnings of one file, so that a user sees all of them at once."""

    def __init__(self, file: str) -> None:
        """Start without problems; ``file`` is the name that they show."""
        self._file = file
        self._problems: _Findings = {}
        self._warnings: _Findings = {}
        self._rule_names: Mapping[int, str] = {}

    def name_rules(self, names: Mapping[int, str]) -> None:
        """Take the readable names of the rules, by index. Each line about a rule then shows its name."""
        self._rule_names = names

    def add(self, place: Place, message: str) -> None:
        """Add a problem, which makes the file unusable."""
        self._problems.setdefault((place.line, place.column, message), (place, message))

    def warn(self, place: Place, message: str) -> None:
        """Add a warning, which leaves the file usable."""
        self._warnings.setdefault((place.line, place.column, message), (place, message))

    def read(self, reader: Callable[[Source], T], source: Source | None, default: Default) -> T | Default:
        """Return what ``reader`` makes of ``source``, or ``default`` if there is no source.

        If ``reader`` raises NodeError, add that as a problem and return ``default``.
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
        """Return whether any problem was added."""
        return bool(self._problems)

    def error(self) -> RulesError:
        """Return all problems as one error, in the order of the file."""
        return RulesError(self._in_order(self._problems))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return all warnings, in the order of the file."""
        return self._in_order(self._warnings)

    def _in_order(self, findings: _Findings) -> tuple[Problem, ...]:
        found = [self._problem(place, message) for place, message in findings.values()]
        return tuple(sorted(found, key=lambda each: (each.line, each.column)))

    def _problem(self, place: Place, message: str) -> Problem:
        return Problem(
            file=self._file,
            line=place.line,
            column=place.column,
            path=place.path,
            message=message,
            rule=self._rule_at(place.path),
        )

    def _rule_at(self, path: str) -> str:
        index = _RULE_INDEX.match(path)
        return self._rule_names.get(int(index[1]), "") if index else ""
