"""Ingests many grants at a Polar in memory, and says what it stumbles over."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.builders import grant_of, some_id
from tests.support.fake_polar import Event, FakePolar
from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult
from workers.errors import PolarBrokenError, PolarDeniedError, PolarRateLimitedError, PolarUnreachableError
from workers.pipeline.ingestion import Ingestion

BROKEN = PolarBrokenError("Polar answered 500")
UNREACHABLE = PolarUnreachableError("no answer from Polar")
LIMITED = PolarRateLimitedError("Polar answered 429", retry_after_seconds=60)
DENIED = PolarDeniedError("Polar answered 401")

# Halving each of 500 events out of its batch takes a thousand requests; more would never end.
_ENDLESS = 3_000


def many(count: int) -> list[Grant]:
    """Return grants whose keys sort as their numbers do, each for a customer of its own."""
    return [grant_of(number, customer_id=some_id(number)) for number in range(count)]


def keys(those: Sequence[Grant]) -> set[str]:
    """Return their keys."""
    return {grant.key for grant in those}


def customers(those: Sequence[Grant]) -> Callable[[str], bool]:
    """Return a function: does a customer get one of these grants?"""
    ids = {grant.customer_id for grant in those}
    return lambda customer_id: customer_id in ids


def breaking_at(those: Sequence[Grant]) -> Callable[[Event], bool]:
    """Return a function: does Polar answer 500 to an event of these grants?"""
    stones = keys(those)
    return lambda event: event["external_id"] in stones


def ingest(
    polar: FakePolar, those: Sequence[Grant], *, outages: int = 0, strikes: Mapping[str, int] | None = None
) -> IngestionResult:
    """Ingest these grants; fail if it asks Polar without end."""

    def send(events: Sequence[Mapping[str, Any]]) -> int:
        assert len(polar.requests) < _ENDLESS, "it does not end"
        return polar.ingest(events)

    return Ingestion(
        send, may_send=lambda: True, strikes=strikes or {}, outages=outages, jitter=lambda: 0.0
    ).run(those, leased_at=time.monotonic())
