"""What a real Redis holds of a delivery when it was received, once or many times."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.support.builders import order_webhook, some_id
from tests.support.real_stores import QUEUE, accept, due_ms, ids_of, outcome
from workers.core.delivery import Status
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.connect_async import intake_for
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Disposition, RawDelivery
from workers.store.ledger import Ledger
from workers.store.queue import queue_length
from workers.store.throttle import Throttle


def test_an_accepted_delivery_is_stored_listed_due_and_queued(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    body = order_webhook(id=some_id(7))
    assert accept(redis_url, "msg-1", body=body) == [Disposition.ACCEPTED]
    (delivery,) = store.get(["msg-1"])
    assert (delivery.type, delivery.status, delivery.attempts) == ("order.paid", Status.WAITING, 0)
    assert abs((datetime.now(UTC) - delivery.received_at).total_seconds()) < 600
    assert store.body("msg-1") == body
    assert due_ms(redis, "msg-1") == redis.zscore(keys.deliveries(Status.WAITING), "msg-1")
    assert queue_length(redis) == 1


def test_the_queued_job_is_one_that_rq_can_read(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "msg-1")
    (job,) = Queue("credit-granter", connection=redis, serializer=JSONSerializer).jobs
    assert job.func_name == "workers.jobs.drain"
    assert (job.args, job.kwargs, job.is_queued) == ([], {}, True)
    assert redis.ttl(f"rq:job:{job.id}") > 0


def test_many_deliveries_need_one_job(redis: Redis, redis_url: str) -> None:
    accept(redis_url, *(f"msg-{number}" for number in range(20)))
    assert queue_length(redis) == 1


def test_of_two_deliveries_with_one_id_in_one_call_the_first_is_stored(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    told: list[object] = []

    async def put_together() -> None:
        intake = intake_for(redis_url)
        for id_, body in (("msg-1", b"first"), ("msg-1", b"second"), ("msg-2", b"other")):
            intake.put(RawDelivery(id=id_, body=body), told.append)
        while len(told) < 3:
            await asyncio.sleep(0.01)
        await intake.close()

    asyncio.run(put_together())
    assert told == [Disposition.ACCEPTED, Disposition.DUPLICATE, Disposition.ACCEPTED]
    assert (store.body("msg-1"), store.body("msg-2")) == (b"first", b"other")
    assert set(redis.zrange(keys.DUE, 0, -1)) == {b"msg-1", b"msg-2"}


def test_a_duplicate_changes_nothing(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1", body=b"first")
    before = (redis.hgetall(keys.delivery("msg-1")), due_ms(redis, "msg-1"))
    assert accept(redis_url, "msg-1", body=b"second") == [Disposition.DUPLICATE]
    assert (redis.hgetall(keys.delivery("msg-1")), due_ms(redis, "msg-1")) == before
    assert store.body("msg-1") == b"first"
    assert queue_length(redis) == 1


def test_a_duplicate_of_a_waiting_delivery_queues_a_lost_job_again(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "msg-1")
    redis.delete(QUEUE)
    assert accept(redis_url, "msg-1") == [Disposition.DUPLICATE]
    assert queue_length(redis) == 1


def test_a_duplicate_makes_a_delivery_due_again_that_was_lost_from_the_due_set(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    redis.delete(keys.DUE)
    accept(redis_url, "msg-1")
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


def test_a_duplicate_of_a_leased_delivery_leaves_the_lease_alone(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    store.lease(10)
    accept(redis_url, "msg-1")
    assert store.lease(10).deliveries == ()


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_duplicate_of_a_settled_delivery_wakes_no_worker(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    accept(redis_url, "msg-1")
    ledger.settle([], [outcome(one, status) for one in store.lease(10).deliveries])
    redis.delete(QUEUE)
    assert accept(redis_url, "msg-1") == [Disposition.DUPLICATE]
    assert (due_ms(redis, "msg-1"), queue_length(redis)) == (None, 0)


def test_the_same_delivery_from_twenty_senders_at_once_is_accepted_once(redis: Redis, redis_url: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = [one for (one,) in pool.map(lambda _: accept(redis_url, "msg-1"), range(20))]
    assert answers.count(Disposition.ACCEPTED) == 1
    assert answers.count(Disposition.DUPLICATE) == 19
    assert (redis.zcard(keys.DUE), queue_length(redis)) == (1, 1)


def test_during_a_pause_deliveries_are_stored_but_no_job_is_queued(redis: Redis, redis_url: str) -> None:
    Throttle(redis).pause(60, "Polar answered 503")
    assert accept(redis_url, "msg-1") == [Disposition.ACCEPTED]
    assert (redis.zcard(keys.DUE), queue_length(redis)) == (1, 0)


def test_a_body_of_any_bytes_is_stored_unchanged(redis_url: str, redis: Redis, store: DeliveryStore) -> None:
    body = bytes(range(256)) * 4
    accept(redis_url, "msg-1", body=body)
    assert store.body("msg-1") == body
    assert store.lease(1).deliveries[0].body == body


def test_the_body_of_an_unknown_delivery_is_empty(store: DeliveryStore) -> None:
    assert store.body("nobody") == b""
    assert store.get(["nobody"]) == []


def test_a_burst_waits_for_connections_and_is_accepted_completely(redis_url: str, redis: Redis) -> None:
    """A 503 for each would be 300 failed deliveries for Polar, which disables an endpoint after ten."""

    async def burst() -> list[Disposition]:
        intake = intake_for(redis_url)
        body = order_webhook(id=some_id(1))
        deliveries = [RawDelivery(id=f"msg-{number}", body=body) for number in range(300)]
        answers = await asyncio.gather(*map(intake.accept, deliveries))
        await intake.close()
        return answers

    assert asyncio.run(burst()) == [Disposition.ACCEPTED] * 300
    assert redis.zcard(keys.DUE) == 300


Raw = list[RawDelivery]


def accept_at_once(url: str, deliveries: Raw) -> list[Disposition | BaseException]:
    """Accept deliveries simultaneously; return the result of each, in their order."""

    async def take_all() -> list[Disposition | BaseException]:
        intake = intake_for(url)
        try:
            return await asyncio.gather(*map(intake.accept, deliveries), return_exceptions=True)
        finally:
            await intake.close()

    return asyncio.run(take_all())


def some_deliveries(count: int, body: bytes | None = None) -> Raw:
    return [
        RawDelivery(id=f"msg-{number}", body=body or order_webhook(id=some_id(number)))
        for number in range(count)
    ]


def scripts_run(redis: Redis) -> int:
    return int(redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_simultaneous_deliveries_share_round_trips(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    deliveries = some_deliveries(250)
    before = scripts_run(redis)
    assert accept_at_once(redis_url, deliveries) == [Disposition.ACCEPTED] * 250
    assert scripts_run(redis) - before <= 5
    assert [store.body(one.id) for one in deliveries] == [one.body for one in deliveries]
    assert len(store.lease(1000).deliveries) == 250


def test_of_two_simultaneous_copies_of_a_delivery_the_first_is_stored(
    redis_url: str, store: DeliveryStore
) -> None:
    twice = [RawDelivery(id="msg-1", body=order_webhook(id=some_id(number))) for number in (1, 2)]
    assert accept_at_once(redis_url, twice) == [Disposition.ACCEPTED, Disposition.DUPLICATE]
    assert store.body("msg-1") == twice[0].body


def test_simultaneous_large_bodies_are_all_stored(redis_url: str, store: DeliveryStore) -> None:
    noise = os.urandom(300_000)
    deliveries = some_deliveries(12, noise)
    assert accept_at_once(redis_url, deliveries) == [Disposition.ACCEPTED] * 12
    assert all(store.body(one.id) == noise for one in deliveries)


def test_every_waiting_sender_gets_the_error_of_redis(redis: Redis, redis_url: str) -> None:
    redis.set(keys.DUE, "no sorted set")
    refused = accept_at_once(redis_url, some_deliveries(250))
    assert [type(one) for one in refused] == [StoreUnavailableError] * 250
    redis.delete(keys.DUE)


def test_a_sender_that_disconnects_does_not_affect_the_others(redis_url: str, store: DeliveryStore) -> None:
    async def take_all() -> list[Disposition | BaseException]:
        intake = intake_for(redis_url)
        turns = [asyncio.ensure_future(intake.accept(one)) for one in some_deliveries(3)]
        await asyncio.sleep(0)
        turns[1].cancel()
        try:
            return await asyncio.gather(*turns, return_exceptions=True)
        finally:
            await intake.close()

    first, gone, last = asyncio.run(take_all())
    assert (first, last) == (Disposition.ACCEPTED, Disposition.ACCEPTED)
    assert isinstance(gone, asyncio.CancelledError)
    assert len(store.lease(10).deliveries) >= 2
