"""What is written down of a delivery and its credits, together and once."""

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from redis import Redis

from tests.support.builders import grant_of, some_id
from tests.support.real_stores import (
    RETAIN,
    accept,
    claim_of,
    due_ms,
    let_leases_end,
    now_ms,
    outcome,
    plan_of,
    settled_story,
)
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


def test_settling_marks_ledger_delivery_and_audit_together(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    _, grant = settled_story(redis_url, store, ledger)
    claim = claim_of(ledger.find(grant.subject))
    assert (set(claim.settled), claim.unsettled) == ({"api_usage"}, ())
    (delivery,) = store.get(["msg-1"])
    assert (delivery.status, delivery.reason) == (Status.GRANTED, "10 api_usage")
    assert (delivery.order_id, delivery.customer_id) == (some_id(1), some_id(2))
    assert delivery.settled_at == claim.settled["api_usage"]
    ((_, entry),) = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.AUDIT))
    assert entry == {b"subject": grant.subject.encode(), b"meter": b"api_usage"}
    assert ledger.count_grants() == 1
    assert redis.exists(keys.DUE, keys.deliveries(Status.WAITING)) == 0
    assert store.count_by_status() == {
        Status.WAITING: 0,
        Status.GRANTED: 1,
        Status.SKIPPED: 0,
        Status.FAILED: 0,
    }


def test_a_second_settlement_adds_nothing(redis_url: str, store: DeliveryStore, ledger: Ledger) -> None:
    leased, grant = settled_story(redis_url, store, ledger)
    before = (ledger.find(grant.subject), store.get(["msg-1"]))
    ledger.settle([grant], [outcome(leased, Status.FAILED, "too late")])
    assert (ledger.find(grant.subject), store.get(["msg-1"])) == before
    assert ledger.count_grants() == 1


def test_of_twenty_settlements_at_once_one_is_written(
    redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(leased.id, plan_of(grant))])
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: ledger.settle([grant], [outcome(leased)]), range(20)))
    assert ledger.count_grants() == 1


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED])
def test_a_settled_delivery_expires(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    left = redis.ttl(keys.delivery("msg-1"))
    assert RETAIN.total_seconds() - 600 < left <= RETAIN.total_seconds()


def test_a_failed_delivery_and_the_ledger_never_expire(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    _, grant = settled_story(redis_url, store, ledger, Status.FAILED)
    assert redis.ttl(keys.delivery("msg-1")) == -1
    assert redis.ttl(grant.subject) == -1
    assert redis.ttl(keys.deliveries(Status.FAILED)) == -1


def test_a_delivery_that_is_put_off_keeps_its_strike_and_reason(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    before = now_ms(redis)
    ledger.settle([], [outcome(leased, Status.WAITING, "Polar answered 500", after_seconds=600, strike=True)])
    due = cast(float, due_ms(redis, "msg-1"))
    assert before - 1 <= due - 600_000 <= now_ms(redis)
    assert store.get(["msg-1"])[0].reason == "Polar answered 500"
    assert store.get(["msg-1"])[0].settled_at is None
    let_leases_end(redis)
    assert store.lease(10).deliveries[0].strikes == 1


def test_a_worker_whose_lease_ran_out_cannot_settle_the_delivery(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """The grant is settled nevertheless: Polar has accepted it."""
    accept(redis_url, "msg-1")
    (sleeper,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(sleeper.id, plan_of(grant))])
    let_leases_end(redis)
    store.lease(10)
    assert ledger.settle([grant], [outcome(sleeper, Status.FAILED, "I know no better")]) == {"msg-1"}
    assert store.get(["msg-1"])[0].status is Status.WAITING
    assert claim_of(ledger.find(grant.subject)).unsettled == ()


def test_settling_an_unknown_claim_writes_nothing(redis: Redis, ledger: Ledger) -> None:
    ledger.settle([grant_of(1)], [])
    assert ledger.find(order_subject(some_id(1))).claims == ()
    assert redis.exists(order_subject(some_id(1))) == 0


def test_settling_an_expired_delivery_writes_nothing(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    redis.delete(keys.delivery("msg-1"))
    assert ledger.settle([], [outcome(leased)]) == {"msg-1"}
    assert redis.exists(keys.delivery("msg-1")) == 0


def test_exactly_the_deliveries_that_another_worker_has_are_returned(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "slept over", "ours", "put off")
    leased = {one.id: one for one in store.lease(10).deliveries}
    store.reopen(["slept over"])
    lost = ledger.settle(
        [],
        [
            outcome(leased["slept over"]),
            outcome(leased["ours"]),
            outcome(leased["put off"], Status.WAITING, "later"),
        ],
    )
    assert lost == {"slept over"}
    assert ledger.settle([], [outcome(leased["ours"])]) == {"ours"}  # it is settled


@pytest.mark.parametrize(
    ("first", "second"),
    [("x" * 200, "y"), ("x" * 200, ""), ("short", "z" * 65), ("x" * 128, "z" * 64), ("ж" * 100, "ü" * 33)],
)
def test_a_new_reason_replaces_the_first_completely(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, *, first: str, second: str
) -> None:
    """A long reason is stored in pieces."""
    accept(redis_url, "msg-1")
    ledger.settle([], [outcome(one, Status.WAITING, first) for one in store.lease(10).deliveries])
    let_leases_end(redis)
    ledger.settle([], [outcome(one, Status.SKIPPED, second) for one in store.lease(10).deliveries])
    assert store.get(["msg-1"])[0].reason == second
    store.reopen(["msg-1"])
    assert store.get(["msg-1"])[0].reason == ""
    fields = cast(list[bytes], redis.hkeys(keys.delivery("msg-1")))
    assert not [name for name in fields if name.startswith(b"reason")]


@pytest.mark.parametrize("reason", ["", "ключ: 'quoted' \\ \"twice\"", "two\nlines", "\x00", "x" * 10_000])
def test_a_reason_of_any_text_is_stored_unchanged(
    redis_url: str, store: DeliveryStore, ledger: Ledger, reason: str, redis: Redis
) -> None:
    accept(redis_url, "msg-1")
    ledger.settle([], [outcome(one, Status.FAILED, reason) for one in store.lease(10).deliveries])
    assert store.get(["msg-1"])[0].reason == reason
