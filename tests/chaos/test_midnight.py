"""Very many instalments are due at midnight on the first: how many requests they take."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis

from config.intervals import Every
from config.rules import NO_RULES
from tests.support.builders import grant_of, some_id
from tests.support.real_stores import RETAIN
from workers.core.grants import Grant, Part
from workers.core.next_instalments import next_instalment
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.pipeline.granter import Granter
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.polar.lists import Listing, Page
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.instalments import InstalmentQueue
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]  # minutes on a busy machine

INSTALMENTS = int(os.environ.get("INSTALMENTS", "10000"))  # `make chaos` has 50,000
MOST_REQUESTS = INSTALMENTS * 7 // 500  # a lease of 500 takes six, and some to spare
_BATCH = 500
_PRODUCT = some_id(10**7)


@dataclass
class CountingPolar:
    """A Polar that has an active subscription of each customer, and counts its requests."""

    requests: dict[str, int] = field(default_factory=lambda: {"list": 0, "one": 0, "ingest": 0})
    events: set[str] = field(default_factory=set)
    date: datetime | None = None

    def page(self, listing: Listing, number: int = 1) -> Page:
        """Return the subscriptions of the customers, each of whom has one."""
        self.requests["list"] += 1
        self.date = datetime.now(UTC)
        rows = [self._row(customer) for customer in listing.query["customer_id"]]
        return Page(items=rows, total=len(rows), last=1)

    def subscription(self, subscription_id: str) -> dict[str, Any]:
        """Return one."""
        self.requests["one"] += 1
        self.date = datetime.now(UTC)
        return self._row(subscription_id)

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Take all events."""
        self.requests["ingest"] += 1
        before = len(self.events)
        self.events |= {event["external_id"] for event in events}
        assert len(self.events) == before + len(events)
        return 0

    def _row(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "status": "active", "product_id": _PRODUCT, "ended_at": None}


def orders(period: PaidPeriod) -> Iterator[Plan]:
    """Yield the plans of orders, each of another customer with another subscription."""
    part = Part(rule="pro", units=grant_of().units, every=Every.MONTH)
    for number in range(INSTALMENTS):
        id_ = some_id(number)
        grant = Grant(
            subject=f"credits:order:{id_}",
            customer_id=id_,
            meter="api_usage",
            property_name="units",
            parts=(part,),
            order_id=id_,
        )
        paid = replace(period, subscription_id=id_, product_id=_PRODUCT)
        yield Plan(subject=grant.subject, customer_id=id_, order_id=id_, grants=(grant,), period=paid)


def test_instalments_at_midnight_take_few_requests(redis: Redis, quiet: None) -> None:
    now = datetime.now(UTC)
    start = now - timedelta(days=33)
    end = start + timedelta(days=365)
    period = PaidPeriod(subscription_id="", product_id="", start=start, end=end, ordered_at=start)
    ledger, store, polar = Ledger(redis, retain=RETAIN), DeliveryStore(redis), CountingPolar()
    batch: list[Plan] = []
    for plan in orders(period):
        batch.append(plan)
        if len(batch) == _BATCH:
            standings = ledger.claim([("msg", one) for one in batch])
            grants = [one.own.grants[0] for one in standings if one.own]
            following = {
                grant.key: next_
                for standing, grant in zip(standings, grants, strict=True)
                if (next_ := next_instalment(standing, grant))
            }
            ledger.settle(grants, [], (), following)
            batch = []
    assert redis.zcard(keys.INSTALMENTS) == INSTALMENTS
    throttle = Throttle(redis, requests_per_minute=10**6)
    granter = Granter(
        deliveries=store,
        ledger=ledger,
        throttle=throttle,
        polar=polar,
        rules=lambda: NO_RULES,
        subscriptions=SubscriptionFinder(polar, throttle),
    )
    redis.set(keys.POLAR_CLOCK, 0)  # as after any answer of Polar's
    began = time.monotonic()
    while redis.zcount(keys.INSTALMENTS, 0, now.timestamp() * 1000):
        InstalmentQueue(redis).move_due()
    moved = time.monotonic()
    while redis.zcard(keys.DUE):
        granter.drain()
    ended = time.monotonic()
    total = sum(polar.requests.values())
    print(  # noqa: T201
        f"\n{INSTALMENTS} instalments: {total} requests {polar.requests}, moved in {moved - began:.1f} s, "
        f"settled in {ended - moved:.1f} s"
    )
    assert len(polar.events) == INSTALMENTS
    assert total <= MOST_REQUESTS
    assert redis.zcard(keys.INSTALMENTS) == INSTALMENTS  # the next ones
