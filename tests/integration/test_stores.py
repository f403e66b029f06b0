"""What lies in a real Redis: deliveries, claims, settlements, pauses, queue, and no key besides."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from tests.builders import grant_of, order_webhook, rule, rules_of, some_id
from tests.fakes import FakePolar
from workers import jobs, keys
from workers.deliveries import LEASE_SECONDS, DeliveryStore
from workers.errors import PolarUnreachableError, StoreUnavailableError
from workers.granting import Granter
from workers.grants import Grant, order_subject
from workers.health import all_well, examine
from workers.intake import Disposition, RawDelivery
from workers.ledger import Ledger
from workers.pauses import Pauses
from workers.planning import Plan
from workers.queue import GrantWorker, queue_length, workers_alive
from workers.records import Claim, Leased, Outcome, Status
from workers.runtime import intake_for

RETAIN = timedelta(days=30)
RULES = rules_of(rule("pack", {"api_usage": 10}))
QUEUE = "rq:queue:credits"


def accept(url: str, *ids: str, body: bytes = b"") -> list[Disposition]:
    """Receive deliveries in this order, each with an order of its own unless ``body`` is given."""

    async def take_all() -> list[Disposition]:
        intake = intake_for(url)
        try:
            return [
                await intake.accept(
                    RawDelivery(id=one, body=body or order_webhook(id=some_id(hash(one) % 10**9)))
                )
                for one in ids
            ]
        finally:
            await intake.close()

    return asyncio.run(take_all())


def check(url: str) -> None:
    """Ask a receiver's readiness."""

    async def ask() -> None:
        intake = intake_for(url)
        try:
            await intake.check()
        finally:
            await intake.close()

    asyncio.run(ask())


def due_ms(redis: Redis, delivery_id: str) -> float | None:
    return redis.zscore(keys.DUE, delivery_id)


def now_ms(redis: Redis) -> float:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds / 1000


def let_leases_end(redis: Redis) -> None:
    """Make everything due, as time would."""
    for delivery_id in cast(list[bytes], redis.zrange(keys.DUE, 0, -1)):
        redis.zadd(keys.DUE, {delivery_id: 1})


def let_pause_end(redis: Redis) -> None:
    """Take the pause away, as time would."""
    redis.delete(keys.PAUSE)


def ids_of(leased: Sequence[Leased]) -> list[str]:
    return [one.id for one in leased]


def outcome(delivery: Leased, status: Status = Status.GRANTED, reason: str = "", **others: float) -> Outcome:
    return Outcome(
        delivery_id=delivery.id,
        attempt=delivery.attempt,
        status=status,
        reason=reason,
        order_id=some_id(1),
        customer_id=some_id(2),
        after_seconds=others.get("after_seconds", 0),
        strike=bool(others.get("strike", False)),
    )


def plan_of(*grants: Grant) -> Plan:
    return Plan(subject=grants[0].subject, grants=grants)


@pytest.fixture
def store(redis: Redis) -> DeliveryStore:
    return DeliveryStore(redis)


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, retain=RETAIN)


# Accepting.


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
    (job,) = Queue("credits", connection=redis, serializer=JSONSerializer).jobs
    assert job.func_name == "workers.jobs.drain"
    assert (job.args, job.kwargs, job.is_queued) == ([], {}, True)
    assert redis.ttl(f"rq:job:{job.id}") > 0


def test_many_deliveries_need_one_job(redis: Redis, redis_url: str) -> None:
    accept(redis_url, *(f"msg-{number}" for number in range(20)))
    assert queue_length(redis) == 1


def test_a_duplicate_changes_nothing(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1", body=b"first")
    before = (redis.hgetall(keys.delivery("msg-1")), due_ms(redis, "msg-1"))
    assert accept(redis_url, "msg-1", body=b"second") == [Disposition.DUPLICATE]
    assert (redis.hgetall(keys.delivery("msg-1")), due_ms(redis, "msg-1")) == before
    assert store.body("msg-1") == b"first"
    assert queue_length(redis) == 1


def test_a_duplicate_of_what_still_waits_is_queued_again_if_its_job_is_gone(
    redis: Redis, redis_url: str
) -> None:
    accept(redis_url, "msg-1")
    redis.delete(QUEUE)
    assert accept(redis_url, "msg-1") == [Disposition.DUPLICATE]
    assert queue_length(redis) == 1


def test_a_duplicate_of_what_was_lost_from_the_due_ones_is_due_again(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    redis.delete(keys.DUE)
    accept(redis_url, "msg-1")
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


def test_a_duplicate_of_what_a_worker_holds_stays_with_that_worker(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    store.lease(10)
    accept(redis_url, "msg-1")
    assert store.lease(10).deliveries == ()


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_duplicate_of_what_is_settled_wakes_nobody(
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
    Pauses(redis).begin(60, "Polar answered 503")
    assert accept(redis_url, "msg-1") == [Disposition.ACCEPTED]
    assert (redis.zcard(keys.DUE), queue_length(redis)) == (1, 0)


def test_a_body_of_any_bytes_comes_back_as_it_was(redis_url: str, redis: Redis, store: DeliveryStore) -> None:
    body = bytes(range(256)) * 4
    accept(redis_url, "msg-1", body=body)
    assert store.body("msg-1") == body
    assert store.lease(1).deliveries[0].body == body


def test_the_body_of_an_unknown_delivery_is_nothing(store: DeliveryStore) -> None:
    assert store.body("nobody") == b""
    assert store.get(["nobody"]) == []


# Leasing.


def test_a_lease_puts_its_deliveries_off_until_it_ends(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    before = now_ms(redis)
    (leased,) = store.lease(10).deliveries
    after = now_ms(redis)
    assert (leased.id, leased.type, leased.strikes, leased.attempt) == ("msg-1", "order.paid", 0, 1)
    # Redis counts whole milliseconds.
    assert before - 1 <= cast(float, due_ms(redis, "msg-1")) - LEASE_SECONDS * 1000 <= after
    assert store.lease(10).deliveries == ()


def test_a_lease_that_ended_is_taken_over(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1")
    store.lease(10)
    let_leases_end(redis)
    (again,) = store.lease(10).deliveries
    assert again.attempt == 2
    assert store.get(["msg-1"])[0].attempts == 2


def test_the_longest_due_come_first_and_no_more_than_asked_for(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b", "c")
    redis.zadd(keys.DUE, {"a": 30, "b": 20, "c": 10})
    assert ids_of(store.lease(2).deliveries) == ["c", "b"]
    assert ids_of(store.lease(2).deliveries) == ["a"]


def test_what_is_due_later_is_not_taken(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1")
    redis.zadd(keys.DUE, {"msg-1": now_ms(redis) + 60_000})
    assert store.lease(10).deliveries == ()


def test_a_full_share_wakes_another_worker(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
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


def test_an_id_that_nothing_is_known_of_is_dropped(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    redis.zadd(keys.DUE, {"ghost": 1})
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]
    assert due_ms(redis, "ghost") is None


# Pausing.


def test_during_a_pause_nobody_gets_anything_and_nothing_is_lost(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    due = due_ms(redis, "msg-1")
    Pauses(redis).begin(60, "Polar answered 503")
    assert store.lease(10).deliveries == ()
    assert due_ms(redis, "msg-1") == due
    assert store.get(["msg-1"])[0].attempts == 0


def test_after_a_pause_one_worker_probes_and_the_others_wait_for_it(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b", "c", "d")
    Pauses(redis).begin(60, "Polar answered 503")
    let_pause_end(redis)
    probe = store.lease(4)
    assert probe.outages == 1
    assert probe.deliveries
    assert store.lease(4).deliveries == ()


def test_when_the_probe_passes_everybody_goes_on(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "a", "b", "c", "d")
    pauses = Pauses(redis)
    pauses.begin(60, "Polar answered 503")
    let_pause_end(redis)
    probed = ids_of(store.lease(4).deliveries)
    pauses.over()
    lease = store.lease(4)
    assert lease.outages == 0
    assert sorted(probed + ids_of(lease.deliveries)) == ["a", "b", "c", "d"]


def test_a_probe_that_is_given_back_is_anothers(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "a", "b")
    pauses = Pauses(redis)
    pauses.begin(60, "Polar answered 503")
    let_pause_end(redis)
    first = store.lease(1)
    pauses.give_back()
    second = store.lease(1)
    assert (len(first.deliveries), len(second.deliveries), second.outages) == (1, 1, 1)


def test_a_probe_that_finds_nothing_due_keeps_nobody_waiting(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    Pauses(redis).begin(60, "Polar answered 503")
    let_pause_end(redis)
    assert store.lease(10).deliveries == ()
    accept(redis_url, "msg-1")
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


def test_a_probe_whose_worker_is_killed_ends_with_its_lease(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    Pauses(redis).begin(60, "Polar answered 503")
    let_pause_end(redis)
    store.lease(10)
    assert 0 < redis.pttl(keys.PROBE) <= LEASE_SECONDS * 1000


def test_workers_that_fail_together_are_one_pause_and_the_longest_holds(redis: Redis) -> None:
    pauses = Pauses(redis)
    pauses.begin(60, "Polar answered 429")
    pauses.begin(5, "Polar answered 503")
    standing = pauses.standing()
    assert standing is not None
    assert standing.reason == "Polar answered 429"
    assert timedelta(seconds=5) < standing.left <= timedelta(seconds=60)
    assert redis.hget(keys.OUTAGE, "pauses") == b"1"
    pauses.begin(120, "Polar answered 401")
    longer = pauses.standing()
    assert longer is not None
    assert longer.left > timedelta(seconds=60)


def test_pauses_in_a_row_are_counted_until_polar_takes_something(redis: Redis, store: DeliveryStore) -> None:
    pauses = Pauses(redis)
    for _ in range(3):
        pauses.begin(60, "Polar answered 503")
        let_pause_end(redis)
    assert redis.hget(keys.OUTAGE, "pauses") == b"3"
    pauses.over()
    assert redis.exists(keys.OUTAGE, keys.PROBE) == 0
    assert pauses.standing() is None


@pytest.mark.parametrize("seconds", [0, 0.0001])
def test_a_pause_of_next_to_nothing_is_one_all_the_same(redis: Redis, seconds: float) -> None:
    Pauses(redis).begin(seconds, "Polar answered 429")
    assert redis.hget(keys.OUTAGE, "pauses") == b"1"


# Claiming.


def test_a_claim_is_read_back_as_it_was_made(ledger: Ledger) -> None:
    grants = (
        grant_of(1, "0.000001", 999999),
        grant_of(1, 5, meter="images"),
        grant_of(1, 7, meter="seconds"),
    )
    (claim,) = ledger.claim([("msg-1", plan_of(*grants))])
    assert claim is not None
    assert sorted(claim.grants, key=lambda one: one.key) == sorted(grants, key=lambda one: one.key)
    assert (claim.subject, claim.delivery_id, claim.settled) == (order_subject(some_id(1)), "msg-1", {})
    assert claim.unsettled == claim.grants
    assert ledger.find(claim.subject) == claim


def test_the_first_claim_stands_whatever_the_second_says(ledger: Ledger) -> None:
    (first,) = ledger.claim([("msg-1", plan_of(grant_of(1, 10)))])
    (second,) = ledger.claim([("msg-2", plan_of(grant_of(1, 999), grant_of(1, 5, meter="images")))])
    assert second == first


def test_of_two_plans_for_one_order_in_one_call_the_first_is_frozen(ledger: Ledger) -> None:
    first, second = ledger.claim([("msg-1", plan_of(grant_of(1, 10))), ("msg-2", plan_of(grant_of(1, 20)))])
    assert first == second
    assert first is not None
    assert first.grants[0].units == Decimal(10)


def test_a_plan_without_grants_freezes_nothing_and_sees_what_is_frozen(ledger: Ledger) -> None:
    nothing = Plan(subject=order_subject(some_id(1)), skip="no rule matches")
    assert ledger.claim([("msg-1", nothing)]) == [None]
    (claim,) = ledger.claim([("msg-2", plan_of(grant_of(1, 10)))])
    assert ledger.claim([("msg-3", nothing)]) == [claim]


def test_of_twenty_claims_at_once_one_is_frozen_and_all_see_that_one(ledger: Ledger) -> None:
    at_once = Barrier(20)

    def claim(number: int) -> Claim | None:
        at_once.wait()
        return ledger.claim([(f"msg-{number}", plan_of(grant_of(1, number + 1)))])[0]

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(claim, range(20)))
    assert claims == [claims[0]] * 20
    assert claims[0] is not None
    assert claims[0].delivery_id == f"msg-{claims[0].grants[0].units - 1}"


def test_a_claim_of_a_thousand_meters_is_frozen_whole(ledger: Ledger) -> None:
    """Lua hands a command only so many arguments at once."""
    grants = tuple(grant_of(1, 1, meter=f"meter-{number:04}") for number in range(1000))
    (claim,) = ledger.claim([("msg-1", plan_of(*grants))])
    assert claim is not None
    assert len(claim.grants) == 1000


# Settling.


def settled_story(
    redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status = Status.GRANTED
) -> tuple[Leased, Grant]:
    """Accept, lease, claim and settle one delivery of order 1."""
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(leased.id, plan_of(grant))])
    accepted = [grant] if status is Status.GRANTED else []
    ledger.settle(accepted, [outcome(leased, status, "10 api_usage")])
    return leased, grant


def test_settling_marks_ledger_delivery_and_audit_together(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    _, grant = settled_story(redis_url, store, ledger)
    claim = ledger.find(grant.subject)
    assert claim is not None
    assert (set(claim.settled), claim.unsettled) == ({"api_usage"}, ())
    (delivery,) = store.get(["msg-1"])
    assert (delivery.status, delivery.reason) == (Status.GRANTED, "10 api_usage")
    assert (delivery.order_id, delivery.customer_id) == (some_id(1), some_id(2))
    assert delivery.settled_at == claim.settled["api_usage"]
    ((_, entry),) = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.AUDIT))
    assert entry == {b"subject": grant.subject.encode(), b"meter": b"api_usage"}
    assert ledger.granted() == 1
    assert redis.exists(keys.DUE, keys.deliveries(Status.WAITING)) == 0
    assert store.counts() == {Status.WAITING: 0, Status.GRANTED: 1, Status.SKIPPED: 0, Status.FAILED: 0}


def test_a_second_settlement_adds_nothing(redis_url: str, store: DeliveryStore, ledger: Ledger) -> None:
    leased, grant = settled_story(redis_url, store, ledger)
    before = (ledger.find(grant.subject), store.get(["msg-1"]))
    ledger.settle([grant], [outcome(leased, Status.FAILED, "too late")])
    assert (ledger.find(grant.subject), store.get(["msg-1"])) == before
    assert ledger.granted() == 1


def test_of_twenty_settlements_at_once_one_is_written(
    redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(leased.id, plan_of(grant))])
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: ledger.settle([grant], [outcome(leased)]), range(20)))
    assert ledger.granted() == 1


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED])
def test_a_settled_delivery_expires(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    left = redis.ttl(keys.delivery("msg-1"))
    assert RETAIN.total_seconds() - 600 < left <= RETAIN.total_seconds()


def test_a_failed_delivery_and_the_ledger_never_expire(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    _, grant = settled_story(redis_url, store, ledger, Status.FAILED)
    assert redis.ttl(keys.delivery("msg-1")) == -1
    assert redis.ttl(grant.subject) == -1
    assert redis.ttl(keys.deliveries(Status.FAILED)) == -1


def test_what_is_put_off_waits_on_with_its_strike_and_reason(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    before = now_ms(redis)
    ledger.settle([], [outcome(leased, Status.WAITING, "Polar answered 500", after_seconds=600, strike=True)])
    due = cast(float, due_ms(redis, "msg-1"))
    assert before - 1 <= due - 600_000 <= now_ms(redis)
    assert store.get(["msg-1"])[0].reason == "Polar answered 500"
    assert store.get(["msg-1"])[0].settled_at is None
    let_leases_end(redis)
    assert store.lease(10).deliveries[0].strikes == 1


def test_who_has_slept_past_its_lease_has_no_say_in_what_becomes_of_it(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """What Polar took is written down all the same: that is a fact."""
    accept(redis_url, "msg-1")
    (sleeper,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(sleeper.id, plan_of(grant))])
    let_leases_end(redis)
    store.lease(10)
    ledger.settle([grant], [outcome(sleeper, Status.FAILED, "I know no better")])
    assert store.get(["msg-1"])[0].status is Status.WAITING
    claim = ledger.find(grant.subject)
    assert claim is not None
    assert claim.unsettled == ()


def test_settling_what_was_never_claimed_makes_no_half_of_a_claim(redis: Redis, ledger: Ledger) -> None:
    ledger.settle([grant_of(1)], [])
    assert ledger.find(order_subject(some_id(1))) is None
    assert redis.exists(order_subject(some_id(1))) == 0


def test_settling_a_delivery_that_is_gone_brings_nothing_back(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    redis.delete(keys.delivery("msg-1"))
    ledger.settle([], [outcome(leased)])
    assert redis.exists(keys.delivery("msg-1")) == 0


@pytest.mark.parametrize("reason", ["", "ключ: 'quoted' \\ \"twice\"", "two\nlines", "\x00", "x" * 10_000])
def test_a_reason_of_any_text_comes_back_as_it_was(
    redis_url: str, store: DeliveryStore, ledger: Ledger, reason: str, redis: Redis
) -> None:
    accept(redis_url, "msg-1")
    ledger.settle([], [outcome(one, Status.FAILED, reason) for one in store.lease(10).deliveries])
    assert store.get(["msg-1"])[0].reason == reason


# Reopening.


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_settled_delivery_can_be_taken_again(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    (again,) = store.reopen(["msg-1"])
    assert (again.id, again.strikes, again.attempt) == ("msg-1", 0, 2)
    assert store.counts()[Status.WAITING] == 1
    assert store.counts()[status] == 0
    assert redis.ttl(keys.delivery("msg-1")) == -1
    assert store.lease(10).deliveries == ()  # it is in the caller's hands
    let_leases_end(redis)
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]  # ... unless the caller is killed


def test_reopening_forgets_the_strikes(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    ledger.settle([], [outcome(leased, Status.WAITING, "500", strike=True)])
    assert store.reopen(["msg-1"])[0].strikes == 0
    let_leases_end(redis)
    assert store.lease(10).deliveries[0].strikes == 0


def test_reopening_keeps_the_day_it_came(
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


# Listing.


def test_lists_are_newest_first_whole_and_without_repetition_over_several_pages(
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
    assert store.counts() == dict.fromkeys(statuses, 110) | {Status.WAITING: 120}


def test_lists_of_one_status_page_by_page_are_in_order(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    names = [f"msg-{number:04}" for number in range(401)]
    accept(redis_url, *names)
    assert [one.id for one in store.newest([Status.WAITING])] == names[::-1]


def test_a_list_since_a_moment_leaves_out_what_came_before(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "old", "new")
    now = datetime.now(UTC)
    for name, moment in (("old", now - timedelta(hours=2)), ("new", now - timedelta(hours=1))):
        redis.zadd(keys.deliveries(Status.WAITING), {name: moment.timestamp() * 1000})
    assert [one.id for one in store.newest(since=now - timedelta(minutes=90))] == ["new"]
    assert [one.id for one in store.newest(since=now - timedelta(hours=3))] == ["new", "old"]
    assert list(store.newest(since=now)) == []


def test_what_has_expired_is_no_longer_listed(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "gone", "here")
    redis.delete(keys.delivery("gone"))
    assert [one.id for one in store.newest()] == ["here"]


def test_of_nothing_there_is_nothing_to_list(redis: Redis, store: DeliveryStore) -> None:
    assert list(store.newest()) == []
    assert store.oldest_waiting() is None


# The worker's tick, and its signs of life.


@pytest.fixture
def worker(redis: Redis) -> GrantWorker:
    return GrantWorker(redis, rules=RULES, retain=RETAIN)


def test_a_tick_queues_a_lost_job_again(redis: Redis, redis_url: str, worker: GrantWorker) -> None:
    accept(redis_url, "msg-1")
    redis.delete(QUEUE)
    worker.tick()
    worker.tick()
    assert queue_length(redis) == 1


def test_a_tick_queues_nothing_while_nothing_is_due(
    redis: Redis, redis_url: str, store: DeliveryStore, worker: GrantWorker
) -> None:
    worker.tick()
    accept(redis_url, "msg-1")
    store.lease(10)
    redis.delete(QUEUE)
    worker.tick()
    assert queue_length(redis) == 0


def test_a_tick_queues_nothing_during_a_pause(redis: Redis, redis_url: str, worker: GrantWorker) -> None:
    accept(redis_url, "msg-1")
    redis.delete(QUEUE)
    Pauses(redis).begin(60, "Polar answered 503")
    worker.tick()
    assert queue_length(redis) == 0
    let_pause_end(redis)
    worker.tick()
    assert queue_length(redis) == 1


def test_a_tick_tells_which_rules_are_in_force_for_a_while(redis: Redis, worker: GrantWorker) -> None:
    worker.tick()
    assert redis.get(keys.RULES) == f"1 rules, version {RULES.digest}".encode()
    assert 0 < redis.ttl(keys.RULES) <= 60


def test_a_tick_drops_from_the_lists_what_expired_long_ago_but_nothing_that_is_kept(
    redis: Redis, worker: GrantWorker
) -> None:
    long_ago = now_ms(redis) - (RETAIN + timedelta(days=8)).total_seconds() * 1000
    of_late = now_ms(redis) - RETAIN.total_seconds() * 1000
    for status in Status:
        redis.zadd(keys.deliveries(status), {"long ago": long_ago, "of late": of_late})
    worker.tick()
    left = {status: redis.zcard(keys.deliveries(status)) for status in Status}
    assert left == {Status.WAITING: 2, Status.GRANTED: 1, Status.SKIPPED: 1, Status.FAILED: 2}


def test_a_worker_is_alive_while_it_gives_signs_and_dead_when_it_says_so(
    redis: Redis, worker: GrantWorker
) -> None:
    now = datetime.now(UTC)
    assert workers_alive(redis, now) == 0
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    worker.heartbeat()
    assert workers_alive(redis, now) == 1
    assert workers_alive(redis, now + timedelta(minutes=2)) == 0
    worker.register_death()  # type: ignore[no-untyped-call]  # RQ has no types here
    assert workers_alive(redis, now) == 0


def test_the_workers_of_a_storefronts_own_queue_are_not_ours(redis: Redis) -> None:
    class Foreign(GrantWorker):
        """RQ's worker on another queue of the same Redis."""

    foreign = Foreign(redis, rules=RULES, retain=RETAIN)
    foreign.queues = [Queue("mail", connection=redis, serializer=JSONSerializer)]
    foreign.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    assert workers_alive(redis, datetime.now(UTC)) == 0


# A Redis that takes no writes.


@contextmanager
def out_of_memory(redis: Redis) -> Iterator[None]:
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def read_only(redis: Redis) -> Iterator[None]:
    redis.replicaof("127.0.0.1", 1)  # nobody is there: nothing is ever copied from it
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")


REFUSING = pytest.mark.parametrize("refusing", [out_of_memory, read_only])


@REFUSING
def test_what_redis_refuses_is_not_half_stored(
    redis: Redis, redis_url: str, refusing: type, store: DeliveryStore
) -> None:
    with refusing(redis), pytest.raises(StoreUnavailableError):
        accept(redis_url, "msg-1")
    assert redis.keys() == []
    assert accept(redis_url, "msg-1") == [Disposition.ACCEPTED]
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


@REFUSING
def test_a_receiver_on_a_redis_that_takes_no_writes_is_not_ready(
    redis: Redis, redis_url: str, refusing: type
) -> None:
    with refusing(redis), pytest.raises(StoreUnavailableError):
        check(redis_url)
    check(redis_url)


@REFUSING
def test_a_redis_that_takes_no_writes_is_not_well_and_says_why(redis: Redis, refusing: type) -> None:
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
    assert ledger.find(order_subject(some_id(1))) is None
    assert store.counts()[Status.WAITING] == 2
    assert ids_of(store.lease(10).deliveries) == ["msg-2"]


# Every key is known.

NEVER, SOME_DAY = False, True
KNOWN = {
    r"credits:due": NEVER,
    r"credits:audit": NEVER,
    r"credits:rules": SOME_DAY,
    r"credits:ready": SOME_DAY,
    r"credits:pause": SOME_DAY,
    r"credits:outage": SOME_DAY,
    r"credits:probe": SOME_DAY,
    r"credits:budget": SOME_DAY,
    r"credits:deliveries:(waiting|granted|skipped|failed)": NEVER,
    r"credits:order:[0-9a-f-]{36}": NEVER,
    r"rq:job:.+": SOME_DAY,
    r"rq:results?:.+": SOME_DAY,
    r"rq:worker:.+": SOME_DAY,
    r"rq:workers(:credits)?": NEVER,
    r"rq:queues": NEVER,
    r"rq:queue:credits": NEVER,
    r"rq:(finished|failed|wip|started|canceled|scheduled|deferred):credits": NEVER,
    r"rq:(clean_registries|intermediate|suspended|executions?).*": SOME_DAY,
}
"""The keys that there may be, by what they look like; whether they must have a lifetime."""


def unaccounted(redis: Redis, store: DeliveryStore) -> list[str]:
    """Return the keys that nobody knows, or that live longer (or shorter) than they should."""
    known = dict(KNOWN)
    for delivery in store.newest():
        expires = delivery.status in {Status.GRANTED, Status.SKIPPED}
        known[re.escape(keys.delivery(delivery.id))] = expires
    found = []
    for key in sorted(one.decode() for one in cast(list[bytes], redis.keys())):
        lifetimes = [lives for form, lives in known.items() if re.fullmatch(form, key)]
        expires = redis.ttl(key) != -1
        if lifetimes != [expires]:
            found.append(f"{key} ({'expires' if expires else 'lives for ever'})")
    return found


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put back the signal handlers that RQ's worker sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_after_a_whole_story_every_key_is_known_and_lives_as_long_as_it_should(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    polar = FakePolar(known=lambda customer: customer != some_id(4))
    granter = Granter(inbox=store, book=ledger, gate=Pauses(redis), polar=polar, rules=RULES)
    monkeypatch.setattr(jobs, "_granter", granter)

    def work() -> list[str]:
        with signals_kept():
            GrantWorker(redis, rules=RULES, retain=RETAIN).work(burst=True, logging_level="WARNING")
        return unaccounted(redis, store)

    check(redis_url)
    for number, body in enumerate(
        [
            order_webhook(id=some_id(1)),
            order_webhook(id=some_id(1)),  # the same order by another delivery
            order_webhook("order_paid_subscription_cancel_final_invoice", id=some_id(2)),
            order_webhook(id=some_id(3)),
            order_webhook(id=some_id(4), customer_id=some_id(4)),  # Polar does not know them
            b"no event",
        ]
    ):
        accept(redis_url, f"msg-{number}", body=body)
    polar.script = [PolarUnreachableError("no answer")]
    assert work() == []  # paused
    assert store.counts()[Status.WAITING] > 0
    let_pause_end(redis)
    let_leases_end(redis)
    accept(redis_url, "msg-0")
    assert work() == []  # the probe, and on
    let_leases_end(redis)
    accept(redis_url, "msg-0", "msg-1", "msg-2", "msg-3")
    assert work() == []
    assert store.counts() == {Status.WAITING: 0, Status.GRANTED: 2, Status.SKIPPED: 2, Status.FAILED: 2}
    assert redis.exists(keys.DUE, keys.PAUSE, keys.OUTAGE, keys.PROBE) == 0
    store.reopen(["msg-4", "msg-5"])
    let_leases_end(redis)
    GrantWorker(redis, rules=RULES, retain=RETAIN).tick()
    assert work() == []
    assert store.counts()[Status.FAILED] == 2
    assert ledger.granted() == 2


def test_a_key_that_nobody_knows_is_noticed(redis: Redis, store: DeliveryStore) -> None:
    redis.set("credits:leak", 1)
    redis.set(keys.RULES, "for ever")
    assert unaccounted(redis, store) == ["credits:leak (lives for ever)", "credits:rules (lives for ever)"]


def test_a_fresh_and_durable_redis_is_well_but_for_its_workers(redis: Redis) -> None:
    checks = examine(redis)
    assert not all_well(checks)
    assert [one.name for one in checks if not one.ok] == ["workers", "rules"]


def test_reasons_and_claims_are_json_that_other_tools_can_read(redis: Redis, ledger: Ledger) -> None:
    ledger.claim([("msg-1", plan_of(grant_of(1, "0.5")))])
    value = cast(bytes, redis.hget(order_subject(some_id(1)), "grant:api_usage"))
    assert json.loads(value) == ["units", [["rule-1", "0.5"]]]
