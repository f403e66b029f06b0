"""What happened on each day: settle.lua counts it for charts, and keeps it for 400 days."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import cast

from msgspec import Struct, field
from redis import Redis

from workers.store import counts, keys

_EPOCH = date(1970, 1, 1)
_WHOLE_SHARE_MS = 60_000  # a share of Polar's rate limit that is used up is whole again after a minute


class Day(Struct, frozen=True, kw_only=True):
    """The counts of one day, in UTC."""

    date: date
    granted: Mapping[str, float] = field(default_factory=dict)
    """Credits by meter."""
    taken_back: Mapping[str, float] = field(default_factory=dict)
    """Credits by meter; positive."""
    outcomes: Mapping[str, float] = field(default_factory=dict)
    """Settled deliveries by status."""
    waits: Mapping[str, float] = field(default_factory=dict)
    """Deliveries that were credited, by the upper bound of how long they waited (``counts.BOUNDS``)."""
    by_rule: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Credits that a rule or an offer gave, by its name and the meter, before anything is taken back."""
    most_used: float = 0.0
    """The largest part of our share of Polar's rate limit that was in use at once, from 0 to 1."""


def read_days(redis: Redis, now: datetime, number: int) -> list[Day]:
    """Return the last ``number`` days, the oldest first, today included."""
    today = now.astimezone(UTC).date()
    dates = [today - timedelta(days=ago) for ago in range(number - 1, -1, -1)]
    pipeline = redis.pipeline(transaction=False)
    for one in dates:
        pipeline.hgetall(f"{keys.DAY}{(one - _EPOCH).days}")
    found = cast(Sequence[Mapping[bytes, bytes]], pipeline.execute())
    return [_day(one, fields) for one, fields in zip(dates, found, strict=True)]


def _day(date_: date, fields: Mapping[bytes, bytes]) -> Day:
    counted: dict[str, dict[str, float]] = {}
    for name, value in fields.items():
        count, _, labels = name.decode().partition(" ")
        counted.setdefault(count, {})[labels] = float(value)
    most_used_ms = counted.get(counts.MOST_USED_MS, {}).get("", 0.0)
    return Day(
        date=date_,
        granted=counted.get(counts.GRANTED_UNITS, {}),
        taken_back=counted.get(counts.TAKEN_BACK_UNITS, {}),
        outcomes=counted.get(counts.OUTCOMES, {}),
        waits=counted.get(counts.DELIVERY_TO_CREDIT_SECONDS, {}),
        by_rule={
            _rule_and_meter(name): given for name, given in counted.get(counts.GIVEN_BY_RULE, {}).items()
        },
        most_used=min(1.0, most_used_ms / _WHOLE_SHARE_MS),
    )


def _rule_and_meter(labels: str) -> tuple[str, str]:
    rule, _, meter = labels.partition(" ")
    return rule, meter
