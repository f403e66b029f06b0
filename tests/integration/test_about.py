"""Which deliveries told of an order or a customer, and how long that is known."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import grant_of, some_id
from tests.support.real_stores import RETAIN, accept, now_ms, outcome, plan_of, settled_story
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

ORDER, BUYER = some_id(1), some_id(2)  # of the usual outcome
A_DAY_MS = 86_400_000


def ids(store: DeliveryStore, order_id: str = ORDER) -> list[str]:
    return [one.id for one in store.about_order(order_id)]


def settle(url: str, store: DeliveryStore, ledger: Ledger, *ends: tuple[str, Status]) -> None:
    """Accept and settle deliveries of order 1, one after the other."""
    for delivery_id, status in ends:
        accept(url, delivery_id)
        ledger.settle([], [outcome(one, status) for one in store.lease(1).deliveries])


def test_a_delivery_that_claimed_its_order_is_in_no_list(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    assert ids(store) == ["msg-1"]
    assert redis.exists(keys.about(ORDER), keys.about(BUYER)) == 0


def test_other_deliveries_are_listed_by_order_and_by_customer(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    settle(redis_url, store, ledger, ("msg-2", Status.SKIPPED), ("msg-3", Status.FAILED))
    assert ids(store) == ["msg-1", "msg-2", "msg-3"]
    for listed in (keys.about(ORDER), keys.about(BUYER)):
        assert redis.zrange(listed, 0, -1) == [b"msg-2", b"msg-3"]


def test_an_unreadable_delivery_is_in_no_list(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1", body=b"no event")
    (leased,) = store.lease(1).deliveries
    ledger.settle([], [replace(outcome(leased, Status.FAILED), subject="", order_id="", customer_id="")])
    assert redis.keys("credits:about:*") == []


@pytest.mark.parametrize(
    ("statuses", "expires"),
    [
        ([Status.SKIPPED], True),
        ([Status.SKIPPED, Status.SKIPPED], True),
        ([Status.FAILED], False),
        ([Status.SKIPPED, Status.FAILED], False),
        ([Status.FAILED, Status.SKIPPED], False),
    ],
)
def test_a_list_expires_with_the_last_of_its_deliveries(
    redis: Redis,
    redis_url: str,
    store: DeliveryStore,
    ledger: Ledger,
    *,
    statuses: Sequence[Status],
    expires: bool,
) -> None:
    settle(redis_url, store, ledger, *((f"msg-{i}", one) for i, one in enumerate(statuses)))
    left = {redis.ttl(keys.about(ORDER)), redis.ttl(keys.about(BUYER))}
    if expires:
        assert all(RETAIN.total_seconds() - 600 < one <= RETAIN.total_seconds() for one in left)
    else:
        assert left == {-1}


def test_a_list_with_a_failed_delivery_expires_once_that_is_skipped(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settle(redis_url, store, ledger, ("msg-1", Status.FAILED), ("msg-2", Status.SKIPPED))
    ledger.settle([], [outcome(one, Status.SKIPPED) for one in store.reopen(["msg-1"])])
    assert redis.ttl(keys.about(ORDER)) > 0
    assert ids(store) == ["msg-1", "msg-2"]


def test_a_list_is_deleted_once_its_only_delivery_has_claimed_the_order(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """It failed because of rules that are fixed by now."""
    settle(redis_url, store, ledger, ("msg-1", Status.FAILED))
    (again,) = store.reopen(["msg-1"])
    ledger.claim([("msg-1", plan_of(grant_of(1)))])
    ledger.settle([grant_of(1)], [replace(outcome(again), relies_on=(grant_of(1).subject,))])
    assert redis.keys("credits:about:*") == []
    assert ids(store) == ["msg-1"]


def test_expired_deliveries_leave_a_list_when_the_next_one_enters(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """The list of a customer who buys every day must not grow for ever."""
    redis.zadd(
        keys.about(BUYER), {"old": now_ms(redis) - 1, "older": now_ms(redis) - A_DAY_MS, "failed": "inf"}
    )
    settle(redis_url, store, ledger, ("msg-1", Status.SKIPPED))
    assert redis.zrange(keys.about(BUYER), 0, -1) == [b"msg-1", b"failed"]


def test_a_delivery_that_is_reopened_is_not_listed_as_settled(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    settle(redis_url, store, ledger, ("msg-2", Status.SKIPPED))
    store.reopen(["msg-1", "msg-2"])
    assert ids(store) == []


def test_an_expired_delivery_is_no_longer_listed(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    settle(redis_url, store, ledger, ("msg-2", Status.SKIPPED))
    redis.delete(keys.delivery("msg-1"), keys.delivery("msg-2"))
    assert ids(store) == []
