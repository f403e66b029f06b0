"""The list of deliveries is read page by page; a page far back costs Redis no more than the first."""

from typing import Any

import pytest
from redis import Redis

from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore

AT_ONCE = 250  # more than a page has


def test_each_delivery_is_listed_once_though_many_came_in_one_moment(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, skipped = DeliveryStore(redis), list[int]()
    for batch in range(5):
        store.store_due([(f"msg-{batch}-{number}", "order.paid", b"{}") for number in range(AT_ONCE)])
    ask = redis.zrevrangebyscore

    def counting(*args: Any, **options: Any) -> object:
        skipped.append(options["start"])
        return ask(*args, **options)

    monkeypatch.setattr(redis, "zrevrangebyscore", counting)
    found = list(store.newest())
    assert len({one.id for one in found}) == len(found) == 5 * AT_ONCE
    assert found == sorted(found, key=lambda one: (one.received_at, one.id), reverse=True)
    assert max(skipped) <= AT_ONCE


def test_the_deliveries_of_one_type_are_found_among_many_of_one_moment(redis: Redis) -> None:
    store = DeliveryStore(redis)
    rare = {0, 1_499, 1_500, 2_999}
    for first in range(0, 3_000, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        rows = [(f"msg-{one}", "rare" if one in rare else "order.paid", b"{}") for one in numbers]
        store.store_due(rows)
    redis.zadd(keys.deliveries(Status.WAITING), {f"msg-{one}": 1_000 for one in range(2_500)})
    assert [one.id for one in store.newest(type_="rare")] == ["msg-2999", "msg-1500", "msg-1499", "msg-0"]
    assert list(store.newest(type_="unknown")) == []
    assert len(list(store.newest(type_="order.paid"))) == 3_000 - len(rare)


def test_whoever_looks_for_a_type_is_told_how_many_deliveries_were_looked_at(redis: Redis) -> None:
    store, looked_at = DeliveryStore(redis), list[int]()
    for first in range(0, 1_500, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        store.store_due([(f"msg-{one}", "rare" if one == 3 else "order.paid", b"{}") for one in numbers])
    assert [one.id for one in store.newest(type_="rare", on_look=looked_at.append)] == ["msg-3"]
    assert looked_at == [1_000, 500, 0, 0, 0]
