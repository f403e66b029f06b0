"""Stored times that lie further ahead than they can: Redis's clock was set back, or another server took over.

These tests write such times themselves. ``clock_steps/`` moves the clock of a real server."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.builders import grant_of
from tests.support.clock_steps import DAY_MS, HOUR_MS, MINUTE_MS, SLOW_MS
from tests.support.real_stores import (
    RETAIN,
    accept,
    due_ms,
    ids_of,
    now_ms,
    outcome,
    plan_of,
    scores,
    settled_story,
)
from tests.support.rulebooks import watch_in
from workers.core.delivery import Status
from workers.monitoring.alerter import Alerter
from workers.monitoring.health import examine
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.clock import ClockWatch, PolarClock
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.queue import workers_alive


@pytest.fixture
def worker(redis: Redis, tmp_path: Path) -> GrantWorker:
    """Return a worker that has ticked before."""
    worker = GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN)
    worker.tick()
    return worker


def test_a_new_worker_concludes_from_the_last_tick_that_the_clock_was_set_back(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """All processes were down while the host's clock was corrected."""
    accept(redis_url, "msg-1")
    redis.zincrby(keys.DUE, 10 * MINUTE_MS, "msg-1")
    redis.hset(keys.CLOCK, "ticked_at", round(now_ms(redis) + 10 * MINUTE_MS))
    redis.set(keys.PAUSE, "Polar answered 503", px=11 * MINUTE_MS)
    GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN).tick()
    assert (due_ms(redis, "msg-1") or 0) <= now_ms(redis) + SLOW_MS
    assert MINUTE_MS - SLOW_MS < redis.pttl(keys.PAUSE) <= MINUTE_MS + SLOW_MS


def test_a_new_worker_concludes_the_same_from_what_a_receiver_stored(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    accept(redis_url, "old", "new")
    for key in (keys.DUE, keys.deliveries(Status.WAITING)):
        redis.zincrby(key, 10 * MINUTE_MS, "new")
        redis.zincrby(key, 5 * MINUTE_MS, "old")
    GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN).tick()
    for key in (keys.DUE, keys.deliveries(Status.WAITING)):
        moved = scores(redis, key)
        assert abs(moved["new"] - moved["old"] - 5 * MINUTE_MS) < SLOW_MS
        assert moved["new"] <= now_ms(redis) + SLOW_MS


def test_a_worker_whose_last_tick_is_still_to_come_is_not_alive(redis: Redis, worker: GrantWorker) -> None:
    redis.zadd(keys.WORKERS, {"dead": now_ms(redis) + HOUR_MS})
    assert workers_alive(redis) == 1
    worker.tick()
    assert redis.zrange(keys.WORKERS, 0, -1) == [worker.name.encode()]


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_tick_corrects_settled_deliveries_that_were_received_in_the_future(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, worker: GrantWorker, *, status: Status
) -> None:
    settled_story(redis_url, store, ledger, status)
    future = round(now_ms(redis) + DAY_MS)
    redis.zadd(keys.deliveries(status), {"msg-1": future})
    redis.hset(keys.delivery("msg-1"), "received_at", future)
    if status is not Status.FAILED:
        redis.expire(keys.delivery("msg-1"), 2 * RETAIN)
    worker.tick()
    (delivery,) = store.newest([status])
    assert delivery.received_at.timestamp() * 1000 <= now_ms(redis)
    lifetime = redis.ttl(keys.delivery("msg-1"))
    assert lifetime == -1 if status is Status.FAILED else 0 < lifetime <= RETAIN.total_seconds()


def test_a_delivery_received_in_the_future_has_waited_no_negative_time(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    redis.hset(keys.delivery("msg-1"), "received_at", round(now_ms(redis) + DAY_MS))
    redis.zincrby(keys.deliveries(Status.WAITING), DAY_MS, "msg-1")
    (waiting,) = [one for one in examine(redis) if one.name == "waiting"]
    assert (waiting.ok, waiting.detail) == (True, "the oldest delivery has been waiting for 0 s")
    (leased,) = store.lease(10).deliveries
    ledger.claim([(leased.id, plan_of(grant_of(1)))])
    ledger.settle([grant_of(1)], [outcome(leased)])
    assert redis.hget(keys.COUNTS, "delivery_to_credit_seconds_sum") == b"0"


def test_an_entry_of_the_audit_trail_from_the_future_does_not_hide_that_nothing_is_credited(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    redis.xadd(keys.AUDIT, {"subject": "x", "meter": "y"}, id=str(round(now_ms(redis) + DAY_MS)))
    alerter = Alerter(redis, url="http://127.0.0.1:9/nobody-is-told")
    alerter.check()
    credited = float(redis.hget(keys.WATCH, "credited_at") or 0)
    assert now_ms(redis) - SLOW_MS < credited <= now_ms(redis)
    long_ago = round(now_ms(redis) - 6 * MINUTE_MS)
    redis.hset(keys.WATCH, mapping={"since": long_ago, "credited_at": long_ago})
    accept(redis_url, "msg-2")
    redis.zadd(keys.deliveries(Status.WAITING), {"msg-2": long_ago})
    alerter.check()
    alerter.finish()
    assert redis.exists(keys.muted("stuck"))  # it was about to be told


def test_a_delivery_received_in_the_future_that_is_replayed_waits_since_now(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    redis.hset(keys.delivery("msg-1"), "received_at", round(now_ms(redis) + DAY_MS))
    assert ids_of(store.reopen(["msg-1"])) == ["msg-1"]
    assert scores(redis, keys.deliveries(Status.WAITING))["msg-1"] <= now_ms(redis)


def test_a_step_that_could_not_be_mended_is_found_again(
    redis: Redis, redis_url: str, worker: GrantWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(redis_url, "msg-1")
    redis.zincrby(keys.DUE, 10 * MINUTE_MS, "msg-1")
    answers = [(1_000_000, 0, 0), (1_002_000 - 600_000, 1_000_000, 0), (1_004_000 - 600_000, 1_000_000, 0)]
    rows = iter([[b"%d" % number for number in answer] for answer in answers])
    steady = iter([0.0, 0.0, 2.0, 2.0, 4.0, 4.0])
    watch = ClockWatch(redis, steady_seconds=lambda: next(steady))
    assert not watch.compare(lambda: next(rows))
    with monkeypatch.context() as away:
        away.setattr(watch, "_mend", raiser(RedisConnectionError("away")))
        with pytest.raises(RedisConnectionError):
            watch.compare(lambda: next(rows))
    assert watch.compare(lambda: next(rows))
    assert (due_ms(redis, "msg-1") or 0) <= now_ms(redis)


def raiser(error: Exception) -> Callable[..., None]:
    """Return a function that raises ``error``."""

    def fail(**_given: object) -> None:
        raise error

    return fail


def test_health_says_how_this_hosts_clock_differs_from_polars(redis: Redis) -> None:
    """A worker has asked Polar, whose answers are dated; a receiver never asks."""

    def clock() -> tuple[bool, str]:
        (found,) = [one for one in examine(redis) if one.name == "clock"]
        return found.ok, found.detail

    PolarClock(redis).note(timedelta(seconds=2))
    assert clock() == (True, "agrees with Redis's and Polar's")
    PolarClock(redis).note(timedelta(seconds=-430))
    ok, detail = clock()
    assert not ok
    assert detail.startswith("this host's clock is 7 min behind Polar's; set the one that is wrong (NTP)")


def test_the_first_tick_of_all_is_moved_with_the_clock(redis: Redis, tmp_path: Path) -> None:
    """By itself the reconciler grants only orders from then on."""
    now = now_ms(redis)
    redis.set(keys.BEGAN, round(now + HOUR_MS))
    redis.hset(keys.CLOCK, "ticked_at", round(now + 2 * HOUR_MS))
    GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN).tick()
    assert abs(float(redis.get(keys.BEGAN) or 0) - (now - HOUR_MS)) < SLOW_MS
