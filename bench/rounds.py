"""Runs all contenders in each round, so that changes of the machine's load affect all of them alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.goals import Comparison, Figures, Goals, compare

Sample = Mapping[str, float]

GOAL = "goal"  # the header of a column with goals


class NotMeasuredError(Exception):
    """A subject cannot be measured here, or what was measured means nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The results of one subject, for readers."""

    subject: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    goals: Sequence[Goals] = ()

    def markdown(self) -> str:
        """Return the table as Markdown; a column of ratios is followed by one of their goals."""
        header, *rows = self._with_goals()
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{text}\n\n{self.note}\n" if self.note else f"{text}\n"

    def compare(self, last: Figures) -> list[Comparison]:
        """Compare each figure with its goal and with the last one."""
        now = {row[0]: dict(zip(self.header[1:], row[1:], strict=True)) for row in self.rows}
        return list(compare(now, last, {one.column: one for one in self.goals}))

    def _with_goals(self) -> list[list[str]]:
        lines = [list(line) for line in (self.header, *self.rows)]
        for one in self.goals:
            if any(goal is not None for goal in one.rows.values()):
                place = lines[0].index(one.column) + 1
                lines[0].insert(place, GOAL)
                for line in lines[1:]:
                    line.insert(place, one.words(line[0]))
        return lines


class Rounds:
    """The samples of several rounds, by contender."""

    def __init__(self, samples: Mapping[str, Sequence[Sample]]) -> None:
        self._samples = samples

    def median(self, contender: str, name: str) -> float:
        """Return the median of one figure over the rounds."""
        return median(sample[name] for sample in self._samples[contender])

    def total(self, contender: str, name: str) -> float:
        """Return the sum of one figure over the rounds."""
        return sum(sample[name] for sample in self._samples[contender])

    def ratio(self, contender: str, base: str, name: str) -> float:
        """Return the median of the ratios of each round."""
        pairs = zip(self._samples[contender], self._samples[base], strict=True)
        return median(sample[name] / other[name] for sample, other in pairs)


def interleave(contenders: Mapping[str, Callable[[], Sample]], *, rounds: int) -> Rounds:
    """Measure each contender once a round, every other round in the opposite order."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in reversed(names) if number % 2 else names:
            samples[name].append(contenders[name]())
    return Rounds(samples)


def figure(value: float) -> str:
    """Return ``value`` as text, rounded to digits that the next run would not change."""
    if value >= 100:  # noqa: PLR2004 - three digits are plenty
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above
