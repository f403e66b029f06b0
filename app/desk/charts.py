"""Turns daily numbers into the geometry of a chart: bars in a box of 100 units' height, and a table."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from math import floor, log10

from msgspec import Struct

from app.desk.rendering import format_number
from config.durations import format_duration
from workers.store.counts import BOUNDS

_DAY = 10.0  # the width of a day
_GAP = 2.0
_LEAST_HEIGHT = 0.8  # so that what there is can be seen
_SHORTEST, _LONGEST = 0.1, 3600.0  # s; the ends of the scale of times
_UNBOUNDED = 7200.0  # s; taken for the upper bound of the last bucket
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # the ends of scales, and ten times these
_WHOLE_SECONDS = 10  # from here on, tenths of a second say nothing


class Bar(Struct, frozen=True, kw_only=True):
    """A rectangle; ``y`` is its upper edge, counted from the top. ``text`` shows when it is pointed at."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str


class Line(Struct, frozen=True, kw_only=True):
    """A line of the scale: how high it is, in percent, and its label."""

    percent: int
    label: str


class Chart(Struct, frozen=True, kw_only=True):
    """A chart with its table; ``columns`` are headings with a text for each day."""

    title: str
    summary: str
    days: Sequence[date]
    legend: Sequence[tuple[str, str]]
    """Kinds of bars, and their names."""
    lines: Sequence[Line]
    bars: Sequence[Bar]
    columns: Sequence[tuple[str, Sequence[str]]]

    @property
    def width(self) -> float:
        """Return the width of the box."""
        return len(self.days) * _DAY

    @property
    def day_texts(self) -> Sequence[str]:
        """Return the days for people."""
        return [format_day(day) for day in self.days]

    @property
    def headings(self) -> Sequence[str]:
        """Return the headings of the table."""
        return ["Day", *(name for name, _ in self.columns)]

    @property
    def rows(self) -> Sequence[Sequence[str]]:
        """Return the rows of the table."""
        return list(zip(self.day_texts, *(texts for _, texts in self.columns), strict=True))


class Series(Struct, frozen=True, kw_only=True):
    """A number for each day; ``kind`` is its colour."""

    kind: str
    name: str
    values: Sequence[float]


def stacked_chart(title: str, summary: str, days: Sequence[date], series: Sequence[Series]) -> Chart:
    """Return a chart whose bars stand on each other."""
    sums = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    top = round_up(max(sums, default=0.0))
    bars: list[Bar] = []
    for number, day in enumerate(days):
        base = 0.0
        for one in series:
            value = one.values[number]
            text = f"{format_day(day)}: {format_number(value)} {one.name}"
            bars += _bar(one.kind, number, base / top, value / top, text)
            base += value
    return Chart(
        title=title,
        summary=summary,
        days=days,
        legend=_legend(series),
        lines=[Line(percent=100, label=format_number(top)), Line(percent=0, label="0")],
        bars=bars,
        columns=_columns(series, format_number),
    )


def mirrored_chart(title: str, summary: str, days: Sequence[date], up: Series, down: Series) -> Chart:
    """Return a chart with one series above the zero line and the other below it, on one scale."""
    top, lowest = round_up(max(up.values, default=0.0)), max(down.values, default=0.0)
    bottom = round_up(lowest) if lowest else 0.0
    whole = top + bottom
    zero = bottom / whole
    bars: list[Bar] = []
    for number, day in enumerate(days):
        for one in (up, down):
            value = one.values[number]
            share = value / whole
            text = f"{format_day(day)}: {format_number(value)} {one.name}"
            bars += _bar(one.kind, number, zero if one is up else zero - share, share, text)
    lines = [Line(percent=100, label=format_number(top)), Line(percent=round(zero * 100), label="0")]
    if bottom:
        lines.append(Line(percent=0, label=format_number(-bottom)))
    return Chart(
        title=title,
        summary=summary,
        days=days,
        legend=_legend((up, down)),
        lines=lines,
        bars=bars,
        columns=_columns((up, down), format_number),
    )


def ratio_chart(title: str, summary: str, days: Sequence[date], one: Series) -> Chart:
    """Return a chart of shares, from 0 to 1, on a scale that ends at 100 %."""
    bars = [
        bar
        for number, (day, share) in enumerate(zip(days, one.values, strict=True))
        for bar in _bar(one.kind, number, 0.0, share, f"{format_day(day)}: {format_percent(share)}")
    ]
    return Chart(
        title=title,
        summary=summary,
        days=days,
        legend=_legend((one,)),
        lines=[Line(percent=percent, label=f"{percent} %") for percent in (100, 50, 0)],
        bars=bars,
        columns=_columns((one,), format_percent),
    )


Times = Sequence[float | None]


def range_chart(title: str, summary: str, days: Sequence[date], medians: Times, slowest: Times) -> Chart:
    """Return a chart of times, in s: a bar for each day between two quantiles, on a logarithmic scale."""
    bars: list[Bar] = []
    for number, (day, low, high) in enumerate(zip(days, medians, slowest, strict=True)):
        if low is not None and high is not None:
            start = _height(low)
            text = f"{format_day(day)}: median {format_seconds(low)}, 95 % within {format_seconds(high)}"
            bars += _bar("range", number, start, max(_height(high) - start, 0.02), text)
    return Chart(
        title=title,
        summary=summary,
        days=days,
        legend=[("range", "from the median to the 95th percentile")],
        lines=[
            Line(percent=round(_height(seconds) * 100), label=format_seconds(seconds))
            for seconds in (0.1, 1, 10, 60, 3600)
        ],
        bars=bars,
        columns=[
            ("Median", [_seconds_or_dash(one) for one in medians]),
            ("95th percentile", [_seconds_or_dash(one) for one in slowest]),
        ],
    )


def quantile(counts: Mapping[str, float], part: float) -> float | None:
    """Return the quantile of waiting times, in s, from how many fell into each bucket of ``BOUNDS``.

    Within a bucket, they count as evenly distributed. None if there are none.
    """
    total = sum(counts.values())
    if not total:
        return None
    below, lower = 0.0, 0.0
    for bound in BOUNDS:
        inside, upper = counts.get(bound, 0.0), _UNBOUNDED if bound == "+Inf" else float(bound)
        if inside and below + inside >= part * total:
            return lower + (upper - lower) * (part * total - below) / inside
        below, lower = below + inside, upper
    return lower


def round_up(value: float) -> float:
    """Return the next number that reads easily and is not far; a chart without values ends at 1."""
    if value <= 0:
        return 1.0
    size = 10.0 ** floor(log10(value))
    return next(step * size for step in _STEPS if value <= step * size * (1 + 1e-9))


def format_day(day: date) -> str:
    """Return a day for people: ``29 Nov``."""
    return f"{day.day} {day:%b}"


def format_seconds(seconds: float) -> str:
    """Return a time for people: ``0.4 s``, ``3 min``."""
    if seconds < _WHOLE_SECONDS:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return format_duration(timedelta(seconds=seconds))


def format_percent(share: float) -> str:
    """Return a share from 0 to 1 for people: ``12 %``."""
    return f"{share * 100:.0f} %"


def _bar(kind: str, number: int, base: float, share: float, text: str) -> list[Bar]:
    """Return the bar of a day, from ``base`` up; both are shares of the height."""
    if share <= 0:
        return []
    height = max(share * 100, _LEAST_HEIGHT)
    return [
        Bar(
            kind=kind,
            x=number * _DAY + _GAP / 2,
            y=round(max(0.0, 100 - base * 100 - height), 2),
            width=_DAY - _GAP,
            height=round(height, 2),
            text=text,
        )
    ]


def _height(seconds: float) -> float:
    """Return how high a time is on the logarithmic scale, from 0 to 1."""
    span = log10(_LONGEST / _SHORTEST)
    return min(1.0, max(0.0, log10(max(seconds, _SHORTEST) / _SHORTEST) / span))


def _legend(series: Sequence[Series]) -> Sequence[tuple[str, str]]:
    return [(one.kind, one.name) for one in series]


def _columns(
    series: Sequence[Series], format_value: Callable[[float], str]
) -> Sequence[tuple[str, Sequence[str]]]:
    return [(one.name, [format_value(value) for value in one.values]) for one in series]


def _seconds_or_dash(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else format_seconds(seconds)
