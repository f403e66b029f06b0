"""Who gets which deliveries to work on, and for how long."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import cast

from redis import Redis

from tests.support.real_stores import QUEUE, accept, due_ms, ids_of, let_leases_end, now_ms
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.queue import queue_length
from workers.timings import DEFAULT_TIMINGS


def test_leased_deliveries_are_not_due_until_the_lease_ends(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    before = now_ms(redis)
    (leased,) = store.lease(10).deliveries
    after = now_ms(redis)
    assert (leased.id, leased.type, leased.strikes, leased.attempt) == ("msg-1", "order.paid", 0, 1)
    # Redis counts whole milliseconds.
    assert before - 1 <= cast(float, due_ms(redis, "msg-1")) - DEFAULT_TIMINGS.lease_seconds * 1000 <= after
    assert store.lease(10).deliveries == ()


def test_a_delivery_is_leased_again_after_its_lease_ends(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    store.lease(10)
    let_leases_end(redis)
    (again,) = store.lease(10).deliveries
    assert again.attempt == 2
    assert store.get(["msg-1"])[0].attempts == 2


def test_the_longest_due_come_first_up_to_the_limit(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b", "c")
    redis.zadd(keys.DUE, {"a": 30, "b": 20, "c": 10})
    assert ids_of(store.lease(2).deliveries) == ["c", "b"]
    assert ids_of(store.lease(2).deliveries) == ["a"]


def test_deliveries_that_are_due_later_are_not_leased(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    redis.zadd(keys.DUE, {"msg-1": now_ms(redis) + 60_000})
    assert store.lease(10).deliveries == ()


def test_the_more_leases_of_a_delivery_end_without_an_outcome_the_fewer_it_shares_one_with(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, *"abcdefgh")
    redis.zadd(keys.DUE, {one: at for at, one in enumerate("abcdefgh")})
    redis.hset(keys.delivery("c"), "attempts", 5)  # two more than usual: a quarter of a lease
    redis.hset(keys.delivery("f"), "attempts", 60)
    redis.hset(keys.delivery("g"), mapping={"attempts": 60, "put_off": 58})
    leases = [ids_of(store.lease(8).deliveries) for _ in range(5)]
    assert leases == [["a", "b"], ["c", "d"], ["e"], ["f"], ["g", "h"]]


def test_a_lease_that_leaves_what_is_due_wakes_another_worker(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b")
    redis.zadd(keys.DUE, {"a": 1, "b": 2})
    redis.hset(keys.delivery("b"), "attempts", 60)
    redis.delete(QUEUE)
    assert ids_of(store.lease(8).deliveries) == ["a"]
    assert queue_length(redis) == 1


def test_a_full_lease_wakes_another_worker(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "a", "b", "c")
    redis.delete(QUEUE)
    store.lease(2)
    assert queue_length(redis) == 1
    redis.delete(QUEUE)
    store.lease(2)
    assert queue_length(redis) == 0


def test_two_workers_never_hold_the_same_delivery(redis: Redis, redis_url: str) -> None:
    accept(redis_url, *(f"msg-{number}" for number in range(100)))
    at_once = Barrier(8)

    def take(_: int) -> list[str]:
        at_once.wait()
        return ids_of(DeliveryStore(redis).lease(15).deliveries)

    with ThreadPoolExecutor(8) as pool:
        taken = [one for share in pool.map(take, range(8)) for one in share]
    assert len(taken) == len(set(taken)) == 100


def test_an_unknown_id_is_removed_from_the_due_set(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    for name in (keys.DUE, keys.deliveries(Status.WAITING)):
        redis.zadd(name, {"ghost": 1})
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]
    assert due_ms(redis, "ghost") is None
    # Else a delivery that does not exist would be the oldest one that waits, and raise alerts for ever.
    assert redis.zrange(keys.deliveries(Status.WAITING), 0, -1) == [b"msg-1"]
