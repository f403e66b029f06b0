"""Runs all contenders in each round, so that changes of the machine's load affect all of them alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Sample = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The results of one subject, for readers."""

    subject: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{text}\n\n{self.note}\n" if self.note else f"{text}\n"


class Rounds:
    """The samples of several rounds, by contender."""

    def __init__(self, samples: Mapping[str, Sequence[Sample]]) -> None:
        self._samples = samples

    def median(self, contender: str, name: str) -> float:
        """Return the median of one figure over the rounds."""
        return median(sample[name] for sample in self._samples[contender])

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
