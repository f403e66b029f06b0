"""The dates of instalments: each month or week of the paid period, at the same time of day in UTC."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from config.intervals import Every
from tests.support.builders import some_id
from workers.core.schedule import (
    MOST_INSTALMENTS,
    PaidPeriod,
    count,
    instalment_at,
    instalment_dates,
)

# Hypothesis draws times without a zone between these, and then adds the zone.
FIRST, LAST = datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("9990-01-01")


def period(start: str, end: str) -> PaidPeriod:
    begins, ends = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (start, end))
    return PaidPeriod(
        subscription_id=some_id(1), product_id=some_id(2), start=begins, end=ends, ordered_at=begins
    )


def days(one: PaidPeriod, every: Every = Every.MONTH) -> list[str]:
    return [str(at.date()) for at in instalment_dates(one, every)]


def test_a_year_has_twelve_months() -> None:
    year = period("2026-11-28T20:39:49.131", "2027-11-28T20:39:49.131")
    assert count(year, Every.MONTH) == 12
    first, second = instalment_at(year, Every.MONTH, 1), instalment_at(year, Every.MONTH, 2)
    assert first == year.start
    assert second == datetime(2026, 12, 28, 20, 39, 49, 131_000, tzinfo=UTC)
    assert instalment_at(year, Every.MONTH, 12) == datetime(2027, 10, 28, 20, 39, 49, 131_000, tzinfo=UTC)


def test_the_31st_becomes_the_last_day_of_a_short_month_and_comes_back() -> None:
    assert days(period("2027-01-31T12:00", "2027-06-30T12:00")) == [
        "2027-01-31",
        "2027-02-28",
        "2027-03-31",
        "2027-04-30",
        "2027-05-31",
    ]


def test_a_leap_year_has_a_29th_of_february() -> None:
    assert days(period("2028-01-30T00:00", "2028-03-15T00:00")) == ["2028-01-30", "2028-02-29"]
    assert days(period("2028-02-29T00:00", "2028-06-01T00:00"))[1] == "2028-03-29"
    assert instalment_at(period("2028-02-29T00:00", "2029-03-01T00:00"), Every.MONTH, 13) == datetime(
        2029, 2, 28, tzinfo=UTC
    )


def test_weeks_are_seven_days() -> None:
    month = period("2026-11-28T20:00", "2026-12-28T20:00")
    assert days(month, Every.WEEK) == ["2026-11-28", "2026-12-05", "2026-12-12", "2026-12-19", "2026-12-26"]


def test_the_end_of_the_period_belongs_to_the_next_one() -> None:
    assert days(period("2026-11-01T00:00", "2026-12-01T00:00")) == ["2026-11-01"]
    assert len(days(period("2026-11-01T00:00", "2026-12-01T00:00:00.001"))) == 2
    assert days(period("2026-11-02T00:00", "2026-11-16T00:00"), Every.WEEK) == ["2026-11-02", "2026-11-09"]


def test_clocks_that_change_in_spring_change_nothing() -> None:
    months = period("2026-03-28T01:30", "2026-05-28T01:30")
    assert [at.hour for at in instalment_dates(months, Every.MONTH)] == [1, 1]


def test_a_period_of_centuries_is_not_listed_to_its_end() -> None:
    assert count(period("2026-01-01T00:00", "9998-01-01T00:00"), Every.WEEK) == MOST_INSTALMENTS + 1
    assert count(period("9990-01-31T00:00", "9998-12-31T00:00"), Every.MONTH) == 107


@given(
    st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=1500)),
    st.sampled_from(Every),
)
def test_dates_rise_from_the_start_and_stay_in_the_period(
    start: datetime, length: timedelta, every: Every
) -> None:
    one = PaidPeriod(subscription_id="", product_id="", start=start, end=start + length, ordered_at=start)
    dates = list(instalment_dates(one, every))
    assert dates[0] == start
    assert all(earlier < later for earlier, later in pairwise(dates))
    assert all(at < one.end for at in dates)
    assert instalment_at(one, every, len(dates) + 1) >= one.end
    assert {at.timetz() for at in dates} == {start.timetz()}
    days_of_month = {at.day for at in dates}
    assert every is Every.WEEK or max(days_of_month) == start.day
