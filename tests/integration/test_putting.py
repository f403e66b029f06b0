"""Deliveries of our own making: stored by a command, which works on them itself."""

import pytest
from redis import Redis

from tests.support.builders import order_webhook, some_id
from tests.support.real_stores import ids_of, let_leases_end, outcome, settled_story
from workers.core.delivery import Status
from workers.core.envelope import ORDER_PAID
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

BODY = order_webhook(id=some_id(1))


def test_stored_deliveries_are_leased_to_the_caller(redis: Redis, store: DeliveryStore) -> None:
    (leased,) = store.store_and_lease([("own-1", ORDER_PAID, BODY)])
    assert (leased.id, leased.type, leased.body) == ("own-1", ORDER_PAID, BODY)
    assert (leased.strikes, leased.attempt) == (0, 1)
    assert store.lease(10).deliveries == ()
    (stored,) = store.get(["own-1"])
    assert (stored.status, stored.attempts, stored.reason) == (Status.WAITING, 1, "")
    assert store.oldest_waiting() == stored.received_at
    assert store.body("own-1") == BODY


def test_a_worker_finishes_the_deliveries_of_a_killed_command(redis: Redis, store: DeliveryStore) -> None:
    store.store_and_lease([("own-1", ORDER_PAID, BODY), ("own-2", ORDER_PAID, BODY)])
    let_leases_end(redis)
    assert ids_of(store.lease(10).deliveries) == ["own-1", "own-2"]


def test_deliveries_are_returned_in_the_given_order(store: DeliveryStore) -> None:
    rows = [(f"own-{number}", ORDER_PAID, BODY) for number in (3, 1, 2)]
    assert ids_of(store.store_and_lease(rows)) == ["own-3", "own-1", "own-2"]
    assert store.store_and_lease([]) == ()


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_known_delivery_gets_the_new_body_and_runs_again(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    (before,) = store.get(["msg-1"])
    (again,) = store.store_and_lease([("msg-1", ORDER_PAID, BODY)])
    assert (again.body, again.strikes, again.attempt) == (BODY, 0, 2)
    (after,) = store.get(["msg-1"])
    assert (after.status, after.received_at, after.settled_at) == (Status.WAITING, before.received_at, None)
    counts = store.count_by_status()
    assert (counts[Status.WAITING], counts[status]) == (1, 0)
    assert redis.ttl(keys.delivery("msg-1")) == redis.ttl(keys.body("msg-1")) == -1


def test_the_worker_that_had_it_before_cannot_settle_it(store: DeliveryStore, ledger: Ledger) -> None:
    (first,) = store.store_and_lease([("own-1", ORDER_PAID, BODY)])
    (second,) = store.store_and_lease([("own-1", ORDER_PAID, BODY)])
    assert ledger.settle([], [outcome(first)]) == {"own-1"}
    assert ledger.settle([], [outcome(second)]) == set()


def test_an_erased_body_is_stored_again(redis: Redis, store: DeliveryStore, ledger: Ledger) -> None:
    (leased,) = store.store_and_lease([("own-1", ORDER_PAID, BODY)])
    ledger.settle([], [outcome(leased)])
    redis.delete(keys.body("own-1"))
    redis.hset(keys.delivery("own-1"), "erased_at", 1)
    store.store_and_lease([("own-1", ORDER_PAID, BODY)])
    assert store.get(["own-1"])[0].erased_at is None
