"""A Redis that refuses writes: nothing is half stored, and health reports it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.builders import grant_of, some_id
from tests.support.real_stores import accept, check_readiness, ids_of, outcome, plan_of
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.errors import StoreUnavailableError
from workers.monitoring.health import all_well, examine
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Disposition
from workers.store.ledger import Ledger


@contextmanager
def out_of_memory(redis: Redis) -> Iterator[None]:
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def read_only(redis: Redis) -> Iterator[None]:
    redis.replicaof("127.0.0.1", 1)  # nothing listens there, so nothing is ever copied
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")


REFUSING = pytest.mark.parametrize("refusing", [out_of_memory, read_only])


@REFUSING
def test_a_delivery_that_redis_refuses_is_not_half_stored(
    redis: Redis, redis_url: str, refusing: type, store: DeliveryStore
) -> None:
    with refusing(redis), pytest.raises(StoreUnavailableError):
        accept(redis_url, "msg-1")
    assert redis.keys() == []
    assert accept(redis_url, "msg-1") == [Disposition.ACCEPTED]
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


@REFUSING
def test_a_receiver_is_not_ready_while_redis_refuses_writes(
    redis: Redis, redis_url: str, refusing: type
) -> None:
    with refusing(redis), pytest.raises(StoreUnavailableError):
        check_readiness(redis_url)
    check_readiness(redis_url)


@REFUSING
def test_health_says_why_redis_refuses_writes(redis: Redis, refusing: type) -> None:
    with refusing(redis):
        (found,) = [one for one in examine(redis) if one.name == "redis"]
    assert not found.ok
    assert found.detail


@REFUSING
def test_a_worker_that_cannot_write_claims_and_settles_nothing(
    redis: Redis, redis_url: str, refusing: type, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1", "msg-2")
    (first, *_) = store.lease(1).deliveries
    with refusing(redis):
        for attempt in (
            lambda: store.lease(10),
            lambda: ledger.claim([(first.id, plan_of(grant_of(1)))]),
            lambda: ledger.settle([grant_of(1)], [outcome(first)]),
        ):
            with pytest.raises(RedisError):
                attempt()
    assert ledger.find(order_subject(some_id(1))).claims == ()
    assert store.count_by_status()[Status.WAITING] == 2
    assert ids_of(store.lease(10).deliveries) == ["msg-2"]


def test_a_new_durable_redis_is_well_except_for_missing_workers(redis: Redis) -> None:
    checks = examine(redis)
    assert not all_well(checks)
    assert [one.name for one in checks if not one.ok] == ["workers", "rules"]
