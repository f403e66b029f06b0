"""A drain: several leases at a time, each planned and claimed while Polar answers the one before."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Never

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.timeouts import JobTimeoutException
from structlog.testing import capture_logs

from tests.support.builders import order_webhook, refund_webhook
from tests.support.fake_polar import Event
from tests.support.fake_service import HUNDRED, Shop, limited, purchases, shop_with
from tests.support.fakes import FakeStore
from workers.core.claims import Standing
from workers.core.delivery import Lease, Status
from workers.core.plans import Plan
from workers.monitoring.logs import configure_logging
from workers.timings import DEFAULT_TIMINGS


def test_a_drain_goes_on_until_nothing_is_due() -> None:
    shop = shop_with(*purchases(DEFAULT_TIMINGS.deliveries_per_lease + 1))
    shop.granter.drain()
    assert len(shop.polar.events) == DEFAULT_TIMINGS.deliveries_per_lease + 1
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}


def test_what_one_lease_meets_keeps_those_made_ready_meanwhile_from_asking() -> None:
    shop = shop_with(*purchases(3 * DEFAULT_TIMINGS.deliveries_per_lease))
    shop.polar.script = [limited(60)]
    shop.granter.drain()
    assert len(shop.polar.requests) == 1
    assert {one.status for one in shop.store.deliveries.values()} == {Status.WAITING}
    shop.clock.advance(60)
    while any(one.status is Status.WAITING for one in shop.store.deliveries.values()):
        shop.granter.drain()
    assert len(shop.polar.events) == 3 * DEFAULT_TIMINGS.deliveries_per_lease


@pytest.mark.parametrize("step", ["lease", "claim", "take_request", "settle"])
def test_a_drain_ends_with_the_error_that_any_of_its_steps_meets(step: str) -> None:
    shop = shop_with(*purchases(2 * DEFAULT_TIMINGS.deliveries_per_lease))

    def fail(*_args: object) -> Never:
        raise RedisConnectionError("Redis is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.store, step, fail)
        with pytest.raises(RedisConnectionError):
            shop.granter.drain()
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
    shop.granter.drain()
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}
    assert len(shop.polar.events) == 2 * DEFAULT_TIMINGS.deliveries_per_lease


def test_whichever_thread_of_a_drain_logs_says_which_process_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json", "info", process="worker 7")
    shop_with(*purchases(1)).granter.drain()
    assert json.loads(capsys.readouterr().err)["process"] == "worker 7"


def test_a_drain_of_nothing_asks_polar_nothing() -> None:
    shop = shop_with()
    shop.granter.drain()
    assert shop.polar.requests == []


@dataclass
class _OneByOne:
    """An inbox that leases one delivery at a time."""

    store: FakeStore

    def lease(self, most: int) -> Lease:
        """Take the first that is due."""
        return self.store.lease(min(most, 1))


class _Book(FakeStore):
    """A shop's book that says when the second lease has been claimed."""

    def __init__(self, shop: Shop) -> None:
        vars(self).update(vars(shop.store))
        self.second_is_ready = threading.Event()
        self._claims = 0

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim as always."""
        standings = super().claim(plans, attempts)
        self._claims += 1
        if self._claims == 2:
            self.second_is_ready.set()
        return standings


def _drain_two_at_a_time(shop: Shop) -> list[tuple[str, str | None]]:
    """Drain with a Polar that answers one lease only when the next is claimed; return the log."""
    book = _Book(shop)

    class Slow:
        def ingest(self, events: Sequence[Event]) -> int:
            assert book.second_is_ready.wait(10)
            return shop.polar.ingest(events)

    with capture_logs() as logs:
        replace(shop.granter, deliveries=_OneByOne(book), ledger=book, polar=Slow()).drain()
    return [(line["event"], line["credits"]) for line in logs]


def test_of_two_deliveries_of_an_order_in_two_leases_only_one_is_logged_as_granted() -> None:
    shop = shop_with(order_webhook(), order_webhook())
    assert _drain_two_at_a_time(shop) == [("granted", "10 api_usage"), ("skipped", None)]
    assert len(shop.polar.requests) == 1
    second = shop.store.deliveries["msg-2"]
    assert second.reason.startswith("already granted: claimed by delivery msg-1 at ")
    assert not second.reason.endswith("not confirmed by Polar yet")


def test_a_refund_in_the_lease_after_its_order_counts_when_the_order_is_credited() -> None:
    shop = shop_with(order_webhook(), refund_webhook(1000), rules=HUNDRED)
    told = _drain_two_at_a_time(shop)
    assert told == [
        ("granted", "100 api_usage"),
        ("skipped", None),
        ("granted", "took back 100 api_usage"),
    ]
    assert [len(sent) for sent in shop.polar.requests] == [1, 1]


@contextmanager
def _held() -> Iterator[threading.Event]:
    """Yield an event that blocks threads until the test is over."""
    ends = threading.Event()
    try:
        yield ends
    finally:
        ends.set()


@pytest.mark.parametrize("hanging", ["polar", "settle"])
def test_rqs_time_limit_frees_a_worker_whose_threads_hang(hanging: str) -> None:
    shop = shop_with(*purchases(1))
    leases = 0

    class Inbox:
        def lease(self, most: int) -> Lease:
            nonlocal leases
            leases += 1
            if leases > 1:
                raise JobTimeoutException("Task exceeded maximum timeout value (180 seconds)")
            return shop.store.lease(most)

    with _held() as ends, pytest.MonkeyPatch.context() as patch:
        if hanging == "polar":
            patch.setattr(shop.polar, "ingest", lambda _events: ends.wait())
        else:
            patch.setattr(shop.store, "settle", lambda *_: ends.wait())
        with pytest.raises(JobTimeoutException):
            replace(shop.granter, deliveries=Inbox()).drain()
        assert shop.status("msg-1") is Status.WAITING
