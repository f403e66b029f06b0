"""Charts stay within their box, show every value in their table, and estimate quantiles from buckets."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.desk.charts import (
    Chart,
    Series,
    format_seconds,
    mirrored_chart,
    quantile,
    range_chart,
    ratio_chart,
    round_up,
    stacked_chart,
)

DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(5)]
VALUES = st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=5, max_size=5)


def is_in_box(chart: Chart) -> bool:
    return all(
        one.x >= 0 and one.x + one.width <= chart.width and one.y >= 0 and one.y + one.height <= 100.81
        for one in chart.bars
    )


@given(VALUES, VALUES)
def test_no_bar_leaves_its_box(first: list[float], second: list[float]) -> None:
    up, down = (
        Series(kind="good", name="granted", values=first),
        Series(kind="bad", name="taken back", values=second),
    )
    assert is_in_box(mirrored_chart("api_usage", "", DAYS, up, down))
    assert is_in_box(stacked_chart("outcomes", "", DAYS, [up, down]))


@given(st.lists(st.none() | st.floats(0, 1e6), min_size=5, max_size=5))
def test_no_time_leaves_its_box(times: list[float | None]) -> None:
    assert is_in_box(range_chart("waits", "", DAYS, times, times))


def test_the_table_has_every_value() -> None:
    up = Series(kind="good", name="granted", values=[0, 1200, 0.5, 3, 4])
    down = Series(kind="bad", name="taken back", values=[0, 0, 0, 0, 7])
    chart = mirrored_chart("api_usage", "", DAYS, up, down)
    assert chart.headings == ["Day", "granted", "taken back"]
    assert chart.rows[1] == ("2 Nov", "1,200", "0")
    assert chart.rows[2] == ("3 Nov", "0.5", "0")
    assert [bar.text for bar in chart.bars][-1] == "5 Nov: 7 taken back"


def test_credits_that_were_taken_back_hang_below_the_zero_line() -> None:
    up = Series(kind="good", name="granted", values=[10] * 5)
    down = Series(kind="bad", name="taken back", values=[0, 0, 10, 0, 0])
    chart = mirrored_chart("api_usage", "", DAYS, up, down)
    (zero,) = [100 - line.percent for line in chart.lines if line.label == "0"]
    assert {bar.y + bar.height for bar in chart.bars if bar.kind == "good"} == {zero}
    assert {bar.y for bar in chart.bars if bar.kind == "bad"} == {zero}


def test_what_is_stacked_stands_on_what_is_below() -> None:
    low = Series(kind="good", name="granted", values=[3] * 5)
    high = Series(kind="bad", name="failed", values=[2] * 5)
    first, second = stacked_chart("outcomes", "", DAYS, [low, high]).bars[:2]
    assert (first.y, first.height, second.y) == (40, 60, 0)


def test_a_share_ends_at_the_whole() -> None:
    chart = ratio_chart("share", "", DAYS, Series(kind="calm", name="used", values=[0, 0.5, 1, 0, 0]))
    assert [bar.height for bar in chart.bars] == [50, 100]


def test_a_chart_without_values_has_no_bars_but_a_scale() -> None:
    nothing = Series(kind="good", name="granted", values=[0] * 5)
    chart = mirrored_chart("api_usage", "", DAYS, nothing, nothing)
    assert (chart.bars, [line.label for line in chart.lines]) == ([], ["1", "0"])


@pytest.mark.parametrize(
    ("value", "end"),
    [(0, 1), (0.03, 0.03), (1, 1), (1.01, 1.2), (2, 2), (21, 25), (51, 60), (110, 120), (1e9, 1e9)],
)
def test_a_scale_ends_at_a_round_number(value: float, end: float) -> None:
    assert round_up(value) == pytest.approx(end)


@pytest.mark.parametrize(
    ("waits", "part", "seconds"),
    [
        ({}, 0.5, None),
        ({"1": 10}, 0.5, 0.75),
        ({"0.5": 90, "60": 10}, 0.5, 0.388),
        ({"0.5": 90, "60": 10}, 0.95, 45),
        ({"+Inf": 1}, 0.95, 7020),
    ],
)
def test_quantiles_come_from_buckets(waits: dict[str, float], part: float, seconds: float | None) -> None:
    found = quantile(waits, part)
    assert found == (seconds if seconds is None else pytest.approx(seconds, rel=0.01))


@given(st.dictionaries(st.sampled_from(["0.1", "1", "60", "+Inf"]), st.integers(1, 10**9), min_size=1))
def test_a_higher_quantile_is_never_lower(waits: dict[str, float]) -> None:
    median, slow = quantile(waits, 0.5), quantile(waits, 0.95)
    assert median is not None
    assert slow is not None
    assert median <= slow


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (2.0, "2 s"), (45.2, "45 s"), (240, "4 min")])
def test_a_time_is_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
