"""Waits, leases, pauses and shares that a clock before its step has stored: none is longer than it may be."""

from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from tests.support.clock_steps import DAY_MS, HOUR_MS, MINUTE_MS, SLOW_MS
from tests.support.processes import eventually
from tests.support.real_stores import RETAIN, accept, due_ms, ids_of, now_ms, scores
from tests.support.rulebooks import watch_in
from workers.monitoring.alerter import Alerter
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS

LONGEST_WAIT_MS = 850_000


@pytest.fixture
def worker(redis: Redis, tmp_path: Path) -> GrantWorker:
    """Return a worker that has ticked before."""
    worker = GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN)
    worker.tick()
    return worker


def test_no_retry_and_no_lease_is_longer_than_the_longest_wait() -> None:
    assert DEFAULT_TIMINGS.longest_wait_seconds * 1000 == LONGEST_WAIT_MS


@pytest.mark.parametrize("requests_per_minute", [2, 10, 300])
def test_a_share_that_is_whole_in_a_day_is_whole_within_a_minute(
    redis: Redis, requests_per_minute: int
) -> None:
    throttle = Throttle(redis, requests_per_minute=requests_per_minute)
    redis.set(keys.BUDGET, str(round(now_ms(redis) + DAY_MS)))
    assert throttle.background_delay(take=False) <= timedelta(minutes=1)
    if not throttle.take_request():
        pause = throttle.current_pause()
        assert pause
        assert pause.left <= timedelta(minutes=1)


def test_a_share_that_is_whole_in_a_day_recovers_without_a_worker(redis: Redis) -> None:
    throttle = Throttle(redis)
    redis.set(keys.BUDGET, str(round(now_ms(redis) + DAY_MS)))
    assert not throttle.take_request()
    assert eventually(throttle.take_request)
    assert throttle.background_delay(take=False) <= timedelta(minutes=1)


def test_a_share_that_is_reduced_for_a_day_is_reduced_to_an_eighth_at_most(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=160)
    redis.set(keys.REDUCED_SHARE, 0, px=DAY_MS)
    taken = 0
    while throttle.take_request():
        taken += 1
    assert taken >= 10


def test_a_tick_makes_due_what_would_be_due_later_than_any_retry(
    redis: Redis, redis_url: str, worker: GrantWorker
) -> None:
    ids = [f"msg-{number}" for number in range(2500)]
    redis.zadd(keys.DUE, dict.fromkeys(ids, now_ms(redis) + DAY_MS))
    worker.tick()
    assert redis.zcount(keys.DUE, "-inf", now_ms(redis)) == len(ids)


def test_a_tick_leaves_the_longest_retry_alone(redis: Redis, worker: GrantWorker) -> None:
    due = round(now_ms(redis) + LONGEST_WAIT_MS)
    redis.zadd(keys.DUE, {"msg-1": due})
    worker.tick()
    assert due_ms(redis, "msg-1") == due


@pytest.mark.parametrize(
    ("key", "longest_ms"),
    [
        (keys.PAUSE, HOUR_MS),
        (keys.PROBE, 40_000),
        (keys.REDUCED_SHARE, HOUR_MS + 15 * MINUTE_MS),
    ],
)
def test_a_tick_shortens_what_lives_longer_than_it_may(
    redis: Redis, worker: GrantWorker, *, key: str, longest_ms: int
) -> None:
    redis.set(key, 0, px=DAY_MS)
    worker.tick()
    assert longest_ms - SLOW_MS < redis.pttl(key) <= longest_ms
    redis.set(key, 0, px=longest_ms // 2)
    worker.tick()
    assert redis.pttl(key) <= longest_ms // 2


def test_a_pause_is_shortened_to_its_own_length(redis: Redis, worker: GrantWorker) -> None:
    """It began while the clock was an hour ahead, between two ticks, which see no step."""
    Throttle(redis).pause(60, "Polar answered 503")
    redis.pexpire(keys.PAUSE, HOUR_MS)
    worker.tick()
    assert redis.pttl(keys.PAUSE) <= MINUTE_MS


def test_a_large_backlog_is_moved_whole_and_in_order(redis: Redis, tmp_path: Path) -> None:
    now = now_ms(redis)
    # Many have the same score, so that pages begin in the middle of them.
    due = {f"msg-{number}": round(now + HOUR_MS + number // 1500) for number in range(4200)}
    redis.zadd(keys.DUE, due)
    redis.hset(keys.CLOCK, "ticked_at", round(now + 2 * HOUR_MS))
    GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN).tick()
    moved = scores(redis, keys.DUE)
    shifts = {due[id_] - score for id_, score in moved.items()}
    assert len(moved) == len(due)
    assert len(shifts) == 1
    assert 2 * HOUR_MS - SLOW_MS < shifts.pop() <= 2 * HOUR_MS


def test_alerts_are_muted_no_longer_than_ten_minutes(redis: Redis) -> None:
    redis.set(keys.muted("failed"), 1, px=DAY_MS)
    Alerter(redis, url="http://127.0.0.1:9/nobody-is-told").check()
    assert redis.pttl(keys.muted("failed")) <= 10 * MINUTE_MS


def test_what_is_leased_is_not_moved_by_ticks_while_the_clock_is_steady(
    redis: Redis, redis_url: str, store: DeliveryStore, worker: GrantWorker
) -> None:
    accept(redis_url, "msg-1")
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]
    before = due_ms(redis, "msg-1")
    worker.tick()
    assert due_ms(redis, "msg-1") == before
    assert redis.hget(keys.CLOCK, "steps") is None
