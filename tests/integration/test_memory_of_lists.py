"""However many rows Polar lists, a command keeps few of them in memory, and asks for each page about once."""

import gc
import tracemalloc
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis import Redis

from bench.many import ManyRows, many_attempts, many_events, many_orders
from tests.support.builders import rule, rules_of
from workers.operations.backfill.run import Backfiller
from workers.operations.pacing import Pacer, ignore_progress
from workers.operations.rebuild.run import Rebuilder
from workers.operations.recover import Recoverer
from workers.polar.client import Polar
from workers.polar.lists import Listing, Page
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore
from workers.store.throttle import Throttle

pytestmark = pytest.mark.heavy  # it reads thousands of rows while it traces memory

NOW = datetime.now(UTC)
ROWS, BEGIN = 6_000, 2_000
MOST_BYTES_EACH = 300  # the ids of one slice; with an event or an order they would be thousands
RULES = rules_of(rule("pack", {"api_usage": 10}, triggers=["subscription_cycle"]))


@dataclass
class FarPolar:
    """A Polar that has these rows, and counts the requests."""

    rows: ManyRows
    requests: int = 0

    def page(self, listing: Listing, number: int) -> Page:
        """Return a page."""
        self.requests += 1
        after, before = (cast(str | None, listing.query.get(name)) for name in listing.bounds)
        is_reversed = str(listing.query.get("sorting", "-")).startswith("-")
        found = self.rows.page(number, listing.per_page, after=after, before=before, newest_first=is_reversed)
        pages = found["pagination"]
        return Page(items=found["items"], total=pages["total_count"], last=pages["max_page"])


@dataclass
class Growth:
    """Measures the memory that grows between the row ``BEGIN`` and the last one."""

    taken: dict[int, int] = field(default_factory=dict)

    def __call__(self, read: int, _total: int) -> None:
        """Note the memory."""
        if read >= BEGIN and not tracemalloc.is_tracing():
            tracemalloc.start()
        elif read >= ROWS or (read > BEGIN and not self.taken):
            gc.collect()
            self.taken[read] = tracemalloc.get_traced_memory()[0]

    @property
    def bytes_each(self) -> float:
        """Return the bytes for each row."""
        tracemalloc.stop()
        first, last = min(self.taken), max(self.taken)
        return (self.taken[last] - self.taken[first]) / (last - first)


def pacer_at(redis: Redis) -> Pacer:
    return Pacer(throttle=Throttle(redis, requests_per_minute=100_000), sleep=lambda _seconds: None)


def test_a_rebuild_keeps_few_of_the_events_in_memory(redis: Redis, ledger: Ledger) -> None:
    polar, growth = FarPolar(many_events(ROWS, now=NOW)), Growth()
    rebuilder = Rebuilder(
        store=RestorationStore(redis), ledger=ledger, polar=cast(Polar, polar), pacer=pacer_at(redis)
    )
    found = rebuilder.compare(RULES, now=NOW, on_progress=growth)
    assert growth.bytes_each < MOST_BYTES_EACH
    assert (found.missing_count, found.total, found.not_listed) == (ROWS, ROWS, 0)
    assert polar.requests < ROWS / 100 * 1.2
    done = rebuilder.restore(found, on_progress=ignore_progress)
    assert (done.grants, done.changed) == (ROWS, [])


def test_a_backfill_keeps_few_of_the_orders_in_memory(redis: Redis, ledger: Ledger) -> None:
    polar, growth = FarPolar(many_orders(ROWS, now=NOW)), Growth()
    backfiller = Backfiller(
        store=DeliveryStore(redis), ledger=ledger, polar=cast(Polar, polar), pacer=pacer_at(redis)
    )
    backlog = backfiller.find_missing(
        RULES,
        since=NOW - timedelta(days=2),
        until=NOW,
        now=NOW,
        assume_current=True,
        on_progress=growth,
    )
    assert growth.bytes_each < MOST_BYTES_EACH
    assert (len(backlog.scan.missing), backlog.not_listed) == (ROWS, 0)
    assert polar.requests < ROWS / 100 * 1.2


def test_recovering_keeps_few_of_the_webhooks_in_memory(redis: Redis, ledger: Ledger) -> None:
    polar, growth = FarPolar(many_attempts(ROWS, now=NOW)), Growth()
    recoverer = Recoverer(
        store=DeliveryStore(redis), ledger=ledger, polar=cast(Polar, polar), pacer=pacer_at(redis)
    )
    found = recoverer.find_lost(since=NOW - timedelta(days=2), until=NOW, on_progress=growth)
    assert growth.bytes_each < MOST_BYTES_EACH
    assert (len(found.lost), found.not_listed) == (ROWS, 0)
    previews = recoverer.preview(found.oldest_first, RULES)
    assert sum(one.prospect.text == "grant 10 api_usage" for one in previews) == ROWS
