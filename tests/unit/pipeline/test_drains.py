"""A drain: several leases at a time, each planned and claimed while Polar answers the one before."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Never

import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from rq.timeouts import JobTimeoutException
from structlog.testing import capture_logs

from tests.support.builders import order_webhook, refund_webhook, some_id
from tests.support.fake_polar import Event
from tests.support.fake_service import HUNDRED, Shop, limited, purchases, shop_with
from tests.support.fake_store.store import FakeStore
from workers.core.claims import Standing
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
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


def test_an_error_in_one_lease_delays_no_other_that_is_taken() -> None:
    shop = shop_with(*purchases(6 * DEFAULT_TIMINGS.deliveries_per_lease))
    settle, calls = shop.store.settle, 0

    def fail_once(*args: Any) -> set[str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RedisConnectionError("Redis is gone")
        return settle(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.store, "settle", fail_once)
        with pytest.raises(RedisConnectionError):
            shop.granter.drain()
    held = [one for one in shop.store.deliveries.values() if one.due and one.due > shop.clock.now]
    assert len(held) == DEFAULT_TIMINGS.deliveries_per_lease
    assert any(one.status is Status.GRANTED for one in shop.store.deliveries.values())


def test_after_an_error_a_lease_without_deliveries_goes_through_no_steps() -> None:
    shop = shop_with(*purchases(4 * DEFAULT_TIMINGS.deliveries_per_lease))
    settle, settled = shop.store.settle, list[int]()

    def fail_once(accepted: Sequence[Any], outcomes: Sequence[Any], *others: Any) -> set[str]:
        settled.append(len(outcomes))
        if len(settled) == 1:
            raise RedisConnectionError("Redis is gone")
        return settle(accepted, outcomes, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.store, "settle", fail_once)
        with pytest.raises(RedisConnectionError):
            shop.granter.drain()
    assert settled == [DEFAULT_TIMINGS.deliveries_per_lease] * 4  # else it could end another worker's probe


def test_a_delivery_that_makes_each_lease_fail_delays_the_others_for_a_while_only() -> None:
    """Nobody knows how: a fault of ours that it alone meets."""
    shop = shop_with(*purchases(DEFAULT_TIMINGS.deliveries_per_lease))
    claim, (poison, *others) = shop.store.claim, list(shop.store.deliveries)

    def fail_for_poison(plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Any:
        if poison in attempts:
            raise ResponseError("user_script:12: attempt to compare nil with number")
        return claim(plans, attempts)

    minutes = 0.0
    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(shop.store, "claim", fail_for_poison)
        while minutes < 15 and any(shop.store.deliveries[one].status is Status.WAITING for one in others):
            with suppress(ResponseError):
                shop.granter.drain()
            shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
            minutes += DEFAULT_TIMINGS.lease_seconds / 60
    assert {shop.store.deliveries[one].status for one in others} == {Status.GRANTED}
    assert shop.store.deliveries[poison].status is Status.WAITING
    assert {one["delivery"] for one in logs if one["event"] == "drain ended by one delivery"} <= {poison}
    with capture_logs() as logs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.store, "claim", fail_for_poison)
        with pytest.raises(ResponseError):
            shop.granter.drain()
    assert [(one["event"], one["delivery"]) for one in logs] == [("drain ended by one delivery", poison)]
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
    shop.granter.drain()
    assert shop.store.deliveries[poison].status is Status.GRANTED


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("Redis is gone"),
        ReadOnlyError("You can't write against a read only replica. script: on @user_script:1."),
        ResponseError("NOREPLICAS Not enough good replicas to write. script: on @user_script:1."),
        JobTimeoutException("Polar hangs"),
    ],
    ids=repr,
)
def test_an_outage_is_not_logged_as_the_fault_of_the_delivery_that_meets_it(error: Exception) -> None:
    shop = shop_with(*purchases(1))

    def fail(*_args: object) -> Never:
        raise error

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(shop.store, "settle", fail)
        with pytest.raises(type(error)):
            shop.granter.drain()
    assert logs == []


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


_ONE_BY_ONE = replace(DEFAULT_TIMINGS, deliveries_per_lease=1)


class _Book(FakeStore):
    """A shop's book that says when so many leases have been claimed."""

    def __init__(self, shop: Shop, *, most_claimed: int = 2) -> None:
        vars(self).update(vars(shop.store))
        self.all_are_ready = threading.Event()
        self._left = most_claimed

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim as always."""
        standings = super().claim(plans, attempts)
        self._left -= 1
        if self._left == 0:
            self.all_are_ready.set()
        return standings


def test_after_an_error_a_lease_that_has_waited_too_long_is_not_sent() -> None:
    shop = shop_with(*purchases(6))
    book = _Book(shop, most_claimed=4)

    class Slow:
        def ingest(self, events: Sequence[Event]) -> int:
            assert book.all_are_ready.wait(10)
            time.sleep(2 * impatient.round_seconds)
            return shop.polar.ingest(events)

    def fail(*_args: object) -> Never:
        raise RedisConnectionError("Redis is gone")

    impatient = replace(_ONE_BY_ONE, round_seconds=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "settle", fail)
        with pytest.raises(RedisConnectionError):
            replace(shop.granter, deliveries=book, ledger=book, polar=Slow(), timings=impatient).drain()
    assert len(shop.polar.requests) == 1


def _drain_two_at_a_time(shop: Shop) -> list[tuple[str, str | None]]:
    """Drain with a Polar that answers one lease only when the next is claimed; return the log."""
    book = _Book(shop)

    class Slow:
        def ingest(self, events: Sequence[Event]) -> int:
            assert book.all_are_ready.wait(10)
            return shop.polar.ingest(events)

    with capture_logs() as logs:
        replace(shop.granter, deliveries=book, ledger=book, polar=Slow(), timings=_ONE_BY_ONE).drain()
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


def _drain_slowly(shop: Shop, answer_seconds: float) -> list[str]:
    """Drain a backlog while Polar takes so long; return the orders whose lease was over when it answered."""
    book, late = _Book(shop, most_claimed=4), list[str]()

    class Slow:
        def ingest(self, events: Sequence[Event]) -> int:
            assert book.all_are_ready.wait(10)
            shop.clock.advance(answer_seconds)
            orders = [event["external_id"] for event in events]
            dues = {f"{order_subject(some_id(n))}:api_usage": f"msg-{n}" for n in range(1, 21)}
            late.extend(one for one in orders if (shop.store.deliveries[dues[one]].due or now()) <= now())
            return shop.polar.ingest(events)

    def now() -> datetime:
        return shop.clock.now

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now().timestamp())
        replace(shop.granter, deliveries=book, ledger=book, polar=Slow(), timings=_ONE_BY_ONE).drain()
    return late


@pytest.mark.parametrize("answer_seconds", [1.0, 9.0, 19.0])
def test_no_request_to_a_slow_polar_outlasts_the_lease_that_it_is_for(answer_seconds: float) -> None:
    shop = shop_with(*purchases(20))
    assert _drain_slowly(shop, answer_seconds) == []
    assert shop.polar.events
    while any(one.status is Status.WAITING for one in shop.store.deliveries.values()):
        shop.granter.drain()
    assert len(shop.polar.requests) == len({str(sent) for sent in shop.polar.requests})


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
            replace(shop.granter, deliveries=Inbox(), timings=_ONE_BY_ONE).drain()
        assert shop.status("msg-1") is Status.WAITING
