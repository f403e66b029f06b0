"""Lists of deliveries: their order, their pages, and what they leave out."""

from datetime import UTC, datetime, timedelta

from redis import Redis

from tests.support.real_stores import accept, outcome
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


def test_lists_are_complete_newest_first_and_without_repetition_over_several_pages(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    names = [f"msg-{number:04}" for number in range(450)]
    accept(redis_url, *names)
    statuses = [Status.GRANTED, Status.SKIPPED, Status.FAILED]
    leased = store.lease(330).deliveries
    ledger.settle([], [outcome(one, statuses[i % 3]) for i, one in enumerate(leased)])
    listed = list(store.newest())
    assert sorted(one.id for one in listed) == names
    received = [one.received_at for one in listed]
    assert received == sorted(received, reverse=True)
    assert len(list(store.newest([Status.FAILED]))) == 110
    assert len(list(store.newest([Status.FAILED, Status.WAITING]))) == 230
    assert store.count_by_status() == dict.fromkeys(statuses, 110) | {Status.WAITING: 120}


def test_lists_of_one_status_page_by_page_are_in_order(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    names = [f"msg-{number:04}" for number in range(401)]
    accept(redis_url, *names)
    assert [one.id for one in store.newest([Status.WAITING])] == names[::-1]


def test_a_list_since_a_moment_leaves_out_earlier_deliveries(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "old", "new")
    now = datetime.now(UTC)
    for name, moment in (("old", now - timedelta(hours=2)), ("new", now - timedelta(hours=1))):
        redis.zadd(keys.deliveries(Status.WAITING), {name: moment.timestamp() * 1000})
    assert [one.id for one in store.newest(since=now - timedelta(minutes=90))] == ["new"]
    assert [one.id for one in store.newest(since=now - timedelta(hours=3))] == ["new", "old"]
    assert list(store.newest(since=now)) == []


def test_expired_deliveries_are_no_longer_listed(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "gone", "here")
    redis.delete(keys.delivery("gone"))
    assert [one.id for one in store.newest()] == ["here"]


def test_an_empty_store_lists_nothing(redis: Redis, store: DeliveryStore) -> None:
    assert list(store.newest()) == []
    assert store.oldest_waiting() is None
