"""Failed deliveries that are put to rest."""

from datetime import UTC, datetime

import pytest
from redis import Redis

from tests.support.builders import some_id
from tests.support.real_stores import RETAIN, accept, ids_of, let_leases_end, outcome, settled_story
from workers.core.delivery import Outcome, Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

RETAIN_SECONDS = RETAIN.total_seconds()


def kept(delivery_id: str = "msg-1") -> list[str]:
    """Return the keys of a delivery about order 1 and customer 2, each with a lifetime of its own."""
    lists = [keys.about(some_id(1)), keys.about(some_id(2))]
    return [keys.delivery(delivery_id), keys.body(delivery_id), *lists]


def fail(redis_url: str, store: DeliveryStore, ledger: Ledger, *ids: str) -> None:
    """Accept deliveries of order 1 that fail before the claim, so that only the lists name them."""
    accept(redis_url, *ids)
    ledger.settle([], [outcome(one, Status.FAILED, "no number") for one in store.lease(10).deliveries])


def test_a_dismissed_delivery_is_skipped_with_its_reason_and_expires(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    fail(redis_url, store, ledger, "msg-1")
    assert [redis.ttl(key) for key in kept()] == [-1, -1, -1, -1]
    (before,) = store.get(["msg-1"])
    store.dismiss(["msg-1"], retain=RETAIN)
    (after,) = store.get(["msg-1"])
    assert (after.status, after.reason) == (Status.SKIPPED, f"dismissed: {before.reason}")
    assert after.received_at == before.received_at
    assert after.settled_at is not None
    assert before.settled_at is not None
    assert before.settled_at <= after.settled_at <= datetime.now(UTC)
    assert store.count_by_status() == {
        Status.WAITING: 0,
        Status.GRANTED: 0,
        Status.SKIPPED: 1,
        Status.FAILED: 0,
    }
    assert all(0 < redis.ttl(key) <= RETAIN_SECONDS for key in kept())


def test_dismissing_twice_changes_nothing(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    fail(redis_url, store, ledger, "msg-1")
    store.dismiss(["msg-1"], retain=RETAIN)
    once = store.get(["msg-1"])
    store.dismiss(["msg-1", "nobody"], retain=RETAIN)
    assert store.get(["msg-1", "nobody"]) == once
    assert redis.exists(keys.delivery("nobody")) == 0


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED])
def test_deliveries_that_did_not_fail_are_left_alone(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, *, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    accept(redis_url, "msg-2")
    before = store.get(["msg-1", "msg-2"])
    store.dismiss(["msg-1", "msg-2"], retain=RETAIN)
    assert store.get(["msg-1", "msg-2"]) == before
    assert redis.ttl(keys.delivery("msg-2")) == -1


def test_a_delivery_that_is_being_replayed_is_left_alone(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    fail(redis_url, store, ledger, "msg-1")
    store.reopen(["msg-1"])
    store.dismiss(["msg-1"], retain=RETAIN)
    assert store.get(["msg-1"])[0].status is Status.WAITING
    let_leases_end(redis)
    assert ids_of(store.lease(1).deliveries) == ["msg-1"]


def test_an_order_keeps_its_list_while_it_has_a_failed_delivery(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    fail(redis_url, store, ledger, "msg-1", "msg-2")
    store.dismiss(["msg-1"], retain=RETAIN)
    assert redis.ttl(keys.about(some_id(1))) == -1
    store.dismiss(["msg-2"], retain=RETAIN)
    assert redis.ttl(keys.about(some_id(1))) > 0


def test_a_delivery_that_claimed_its_order_can_be_dismissed(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """The ledger names it, and keeps its claim."""
    _, grant = settled_story(redis_url, store, ledger, Status.FAILED)
    store.dismiss(["msg-1"], retain=RETAIN)
    assert store.get(["msg-1"])[0].status is Status.SKIPPED
    assert redis.ttl(grant.subject) == -1
    assert ids_of(store.reopen(["msg-1"])) == ["msg-1"]


def test_a_delivery_without_an_order_can_be_dismissed(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1", body=b"no webhook")
    store.lease(1)
    ledger.settle([], [Outcome(delivery_id="msg-1", attempt=1, status=Status.FAILED, reason="no webhook")])
    store.dismiss(["msg-1"], retain=RETAIN)
    assert store.get(["msg-1"])[0].reason == "dismissed: no webhook"
    assert redis.keys("credits:about:*") == []


def test_a_dismissed_delivery_can_be_replayed_and_is_kept_if_it_fails_again(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    fail(redis_url, store, ledger, "msg-1")
    store.dismiss(["msg-1"], retain=RETAIN)
    (again,) = store.reopen(["msg-1"])
    ledger.settle([], [outcome(again, Status.FAILED, "still unknown")])
    assert store.get(["msg-1"])[0].reason == "still unknown"
    assert [redis.ttl(key) for key in kept()] == [-1, -1, -1, -1]
