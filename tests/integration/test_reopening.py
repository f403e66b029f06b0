"""Settled deliveries that are taken again."""

import pytest
from redis import Redis

from tests.support.real_stores import accept, due_ms, ids_of, let_leases_end, outcome, settled_story
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_settled_delivery_can_be_reopened(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    (again,) = store.reopen(["msg-1"])
    assert (again.id, again.strikes, again.attempt) == ("msg-1", 0, 2)
    assert store.count_by_status()[Status.WAITING] == 1
    assert store.count_by_status()[status] == 0
    assert redis.ttl(keys.delivery("msg-1")) == -1
    assert redis.ttl(keys.body("msg-1")) == -1
    assert store.lease(10).deliveries == ()  # the caller works on it
    let_leases_end(redis)
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]  # ... unless the caller is killed


def test_reopening_resets_the_strikes(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    ledger.settle([], [outcome(leased, Status.WAITING, "500", strike=True)])
    assert store.reopen(["msg-1"])[0].strikes == 0
    let_leases_end(redis)
    assert store.lease(10).deliveries[0].strikes == 0


def test_reopening_keeps_the_time_of_receipt(
    redis_url: str, redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger, Status.FAILED)
    (before,) = store.get(["msg-1"])
    store.reopen(["msg-1"])
    assert store.oldest_waiting() == before.received_at


def test_ids_that_are_unknown_are_left_out(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    assert ids_of(store.reopen(["nobody", "msg-1", "no one"])) == ["msg-1"]
    assert store.reopen([]) == ()
    assert due_ms(redis, "nobody") is None
