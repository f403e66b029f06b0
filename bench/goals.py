"""Compares the figures of a table with their goals and with the last figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Figures = Mapping[str, Mapping[str, str]]
"""The cells of a table, by the name of the row and that of the column."""

_NOISE = 0.1  # a ratio that is worse by no more than a tenth is as good as the last


@dataclass(frozen=True, kw_only=True, slots=True)
class Goals:
    """What the figures of one column should be. A row without a goal has None: it must not get worse.

    Only ratios are judged, because absolute figures say as much about the machine.
    """

    column: str
    rows: Mapping[str, float | None]
    is_lower_better: bool = False
    is_ratio: bool = True

    def words(self, row: str) -> str:
        """Return the goal of a row, or nothing."""
        goal = self.rows.get(row)
        if goal is None:
            return ""
        return f"{'at most' if self.is_lower_better else 'at least'} {goal:g}"

    def is_missed(self, row: str, value: float) -> bool:
        """Return whether a row has a goal and ``value`` falls short of it."""
        goal = self.rows.get(row)
        return goal is not None and (value > goal if self.is_lower_better else value < goal)

    def is_regression(self, row: str, value: float, last: float) -> bool:
        """Return whether the ratio of a row has become worse by more than what is noise."""
        if not self.is_ratio or row not in self.rows:
            return False
        return value > last * (1 + _NOISE) if self.is_lower_better else value < last * (1 - _NOISE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One figure beside its goal and its last value, either of which may be missing."""

    row: str
    column: str
    now: str
    last: str
    goals: Goals | None

    @property
    def is_regression(self) -> bool:
        """Return whether this is a ratio that has become worse by more than what is noise."""
        return bool(
            self.goals
            and self.last
            and self.goals.is_regression(self.row, number(self.now), number(self.last))
        )

    def __str__(self) -> str:
        """Return the line that is printed."""
        goal = ""
        if self.goals and (words := self.goals.words(self.row)):
            is_missed = self.goals.is_missed(self.row, number(self.now))
            goal = f"goal {words}, {'missed' if is_missed else 'met'}"
        line = f"{self.column:<38} {self.now:>10}   last {self.last or 'none':>10}   {goal}".rstrip()
        return f"{line}   WORSE" if self.is_regression else line


def compare(now: Figures, last: Figures, goals: Mapping[str, Goals]) -> Iterator[Comparison]:
    """Yield a comparison for each figure of now."""
    for row, cells in now.items():
        for column, cell in cells.items():
            if is_figure(cell):
                before = last.get(row, {}).get(column, "")
                yield Comparison(
                    row=row,
                    column=column,
                    now=cell,
                    last=before if is_figure(before) else "",
                    goals=goals.get(column),
                )


def is_figure(cell: str) -> bool:
    """Return whether a cell holds a number."""
    return cell.replace(",", "").replace(".", "", 1).isdecimal()


def number(cell: str) -> float:
    """Return the number that a cell holds."""
    return float(cell.replace(",", ""))
