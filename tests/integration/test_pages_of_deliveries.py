"""The list of deliveries is read page by page; a page far back costs Redis no more than the first."""

from typing import Any

import pytest
from redis import Redis

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
