"""Computes the dates of an order's instalments: each month or week of the period that the order has paid."""

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from config.intervals import Every

MOST_INSTALMENTS = 600  # fifty years of months; a longer period is a mistake in the webhook

_MONTHS = 12


class PaidPeriod(Struct, frozen=True, kw_only=True):
    """The period of a subscription that an order has paid: from ``start`` until just before ``end``.

    All times are in UTC, and in whole milliseconds. ``ordered_at`` is when the order was created.
    """

    subscription_id: str
    product_id: str
    start: datetime
    end: datetime
    ordered_at: datetime


def instalment_at(period: PaidPeriod, every: Every, number: int) -> datetime:
    """Return when an instalment is due: the first, number 1, when the period starts.

    Each later one is due at the same time of day, in UTC. In a month that is too short for the day of the
    month it is due on the last day.
    """
    if every is Every.WEEK:
        return period.start + timedelta(weeks=number - 1)
    months = period.start.year * _MONTHS + period.start.month - 1 + number - 1
    year, month = months // _MONTHS, months % _MONTHS + 1
    day = min(period.start.day, calendar.monthrange(year, month)[1])
    return period.start.replace(year=year, month=month, day=day)


def instalment_dates(period: PaidPeriod, every: Every) -> Iterator[datetime]:
    """Yield the date of each instalment, from the first on; at most MOST_INSTALMENTS + 1."""
    for number in range(1, MOST_INSTALMENTS + 2):
        at = instalment_at(period, every, number)
        if number > 1 and at >= period.end:
            return
        yield at


def count(period: PaidPeriod, every: Every) -> int:
    """Return how many instalments a period has; more than MOST_INSTALMENTS if they are too many."""
    return sum(1 for _ in instalment_dates(period, every))
