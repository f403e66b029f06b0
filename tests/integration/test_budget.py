"""Our share of Polar's rate limit, on a real Redis."""

import math
import time
from datetime import timedelta

import pytest
from redis import Redis

from app.demo.polar import Polar
from tests.support.builders import some_id
from tests.support.polar_standin import client_of
from tests.support.real_stores import let_pause_end
from workers.core.pauses import PauseCause
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.throttle import Throttle


@pytest.mark.parametrize("requests_per_minute", [2, 3, 10, 300])
def test_a_burst_is_half_of_the_minutes_share(redis: Redis, requests_per_minute: int) -> None:
    throttle = Throttle(redis, requests_per_minute=requests_per_minute)
    burst, started, taken = requests_per_minute // 2, time.monotonic(), 0
    while throttle.take_request():
        taken += 1
    # The other half comes evenly over the minute: a slow machine gains some of it on the way.
    gained = (time.monotonic() - started) * (requests_per_minute - burst) / 60
    assert burst <= taken <= burst + math.ceil(gained)


def test_all_workers_use_the_same_share(redis: Redis) -> None:
    one, other = Throttle(redis, requests_per_minute=4), Throttle(redis, requests_per_minute=4)
    taken = [throttle.take_request() for throttle in (one, other, one, other)]
    assert taken == [True, True, False, False]


def test_when_the_share_is_used_up_all_workers_pause_without_an_outage(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=2)
    assert throttle.take_request()
    assert not throttle.take_request()
    pause = throttle.current_pause()
    assert pause is not None
    assert pause.reason == "our share of Polar's rate limit is used up"
    assert 0 < pause.left.total_seconds() <= 60
    assert throttle.outage() is None
    assert DeliveryStore(redis).lease(10).deliveries == ()


def test_the_budget_expires_when_the_share_is_whole_again(redis: Redis) -> None:
    Throttle(redis, requests_per_minute=60).take_request()
    assert 0 < redis.pttl(keys.BUDGET) <= 60_000


def test_an_outage_that_begins_while_the_share_is_used_up_counts(redis: Redis) -> None:
    """Else there would be no probe after it, and all workers would ask at once."""
    throttle = Throttle(redis, requests_per_minute=2)
    assert [throttle.take_request(), throttle.take_request()] == [True, False]
    throttle.pause(60, "Polar answered 429")
    throttle.pause(60, "Polar answered 429")  # by a worker that asked at the same time
    assert redis.hget(keys.OUTAGE, "pauses") == b"1"
    assert throttle.outage() is not None


def burst(redis: Redis, throttle: Throttle) -> int:
    """Return how many requests may come at once, from a full share."""
    let_pause_end(redis)
    redis.delete(keys.BUDGET)
    taken = 0
    while throttle.take_request():
        taken += 1
    redis.delete(keys.BUDGET, keys.PAUSE)
    return taken


def test_each_429_halves_our_share_for_a_while_down_to_an_eighth(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    bursts = []
    for _ in range(5):
        bursts.append(burst(redis, throttle))
        throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
        throttle.pause(
            60, "Polar answered 429", PauseCause.RATE_LIMITED
        )  # by a worker that asked at the same time
    assert bursts == [16, 8, 4, 2, 2]


def test_a_halved_share_grows_back_half_as_fast(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=4)
    throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    let_pause_end(redis)
    assert [throttle.take_request(), throttle.take_request()] == [True, False]
    assert 55_000 < redis.pttl(keys.PAUSE) <= 60_000  # not the 30 s of a whole share


def test_our_share_grows_back_step_by_step(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    for _ in range(3):
        let_pause_end(redis)
        throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    let_pause_end(redis)
    bursts = []
    for minutes in (15, 10, 5, 0):
        redis.pexpire(keys.REDUCED_SHARE, minutes * 60_000)
        bursts.append(burst(redis, throttle))
    assert bursts == [2, 4, 8, 16]


def test_background_requests_use_half_of_a_reduced_share(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    let_pause_end(redis)
    taken = 0
    while not throttle.background_delay(take=True):
        taken += 1
    assert taken == 4


def hold_up(redis: Redis, throttle: Throttle, *, halved_ago_seconds: int) -> bool:
    """Use the share up, and let a person ask this long after a 429; return whether a halving ended."""
    while not throttle.background_delay(take=True):
        pass
    before = throttle.reduced_for()
    redis.set(keys.REDUCED_SHARE, redis.time()[0] * 1000 - halved_ago_seconds * 1000, keepttl=True)
    throttle.background_delay(take=False, is_awaited=True)
    return throttle.reduced_for() < before - timedelta(minutes=2)


def test_a_minute_after_a_429_who_waits_takes_one_halving_back(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    for _ in range(2):
        let_pause_end(redis)
        throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    let_pause_end(redis)
    assert not hold_up(redis, throttle, halved_ago_seconds=50)
    assert hold_up(redis, throttle, halved_ago_seconds=61)
    assert 280 < throttle.reduced_for().total_seconds() <= 360
    assert burst(redis, throttle) == 8  # a half, no longer a quarter
    assert not hold_up(redis, throttle, halved_ago_seconds=5)  # the next one takes another minute


def test_while_there_is_room_or_nobody_waits_the_share_stays_reduced(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    let_pause_end(redis)
    redis.set(keys.REDUCED_SHARE, redis.time()[0] * 1000 - 100_000, keepttl=True)
    assert not throttle.background_delay(take=True, is_awaited=True)
    while not throttle.background_delay(take=True):
        pass
    assert throttle.background_delay(take=False)
    assert throttle.reduced_for().total_seconds() > 200


def test_a_429_counts_during_any_other_pause(redis: Redis) -> None:
    for trouble in ("Polar answered 500", None):
        redis.flushall()
        throttle = Throttle(redis, requests_per_minute=32)
        if trouble:
            throttle.pause(30, trouble)
        else:
            burst(redis, throttle)
            while throttle.take_request():
                pass
        assert throttle.current_pause() is not None
        throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
        assert burst(redis, throttle) == 8


def test_a_long_pause_does_not_shorten_the_reduction(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    throttle.pause(600, "Polar answered 429", PauseCause.RATE_LIMITED)
    assert burst(redis, throttle) == 8


def test_a_429_on_a_reading_request_is_no_outage(redis: Redis) -> None:
    """Nothing would ever end it, because reading requests send no events."""
    throttle = Throttle(redis, requests_per_minute=32)
    throttle.pause_for_rate_limit(60, "Polar answered 429")
    pause = throttle.current_pause()
    assert pause is not None
    assert pause.reason == "Polar answered 429"
    assert throttle.outage() is None
    assert burst(redis, throttle) == 8


def test_other_errors_do_not_reduce_our_share(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=32)
    throttle.pause(60, "Polar answered 500")
    assert burst(redis, throttle) == 16


def test_no_request_is_made_in_a_pause_that_began_after_the_lease(redis: Redis) -> None:
    throttle = Throttle(redis)
    throttle.pause(60, "Polar answered 429", PauseCause.RATE_LIMITED)
    assert not throttle.take_request()
    assert not redis.exists(keys.BUDGET)
    pause = throttle.current_pause()
    assert pause is not None
    assert pause.reason == "Polar answered 429"


@pytest.mark.parametrize("requests_per_minute", [2, 3, 10, 300])
def test_background_requests_leave_half_of_the_burst_to_webhooks(
    redis: Redis, requests_per_minute: int
) -> None:
    throttle = Throttle(redis, requests_per_minute=requests_per_minute)
    taken, started = 0, time.monotonic()
    while not throttle.background_delay(take=True):
        taken += 1
    gained = (time.monotonic() - started) * (requests_per_minute - requests_per_minute // 2) / 60
    most = max(1, requests_per_minute // 4)
    assert most <= taken <= most + math.ceil(gained)  # a slow machine gains some on the way
    assert throttle.current_pause() is None  # nobody else waits for it
    if requests_per_minute > 3:
        assert throttle.take_request()


def test_asking_for_the_background_delay_can_leave_the_share_alone(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=2)
    assert not any(throttle.background_delay(take=False) for _ in range(5))
    assert not throttle.background_delay(take=True)
    assert 0 < throttle.background_delay(take=False).total_seconds() <= 60


def test_background_requests_wait_during_a_pause(redis: Redis) -> None:
    throttle = Throttle(redis)
    throttle.pause(30, "Polar answered 500")
    assert 25 < throttle.background_delay(take=True).total_seconds() <= 30
    assert not redis.exists(keys.BUDGET)


def test_look_ups_of_subscriptions_leave_room_for_credits(redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=20)
    wanted = {some_id(number): some_id(number) for number in range(50)}
    with client_of(Polar()) as client:
        look = SubscriptionFinder(client, throttle).find(wanted)
    assert look.why_not == "its subscription is not looked up yet"
    assert throttle.current_pause() is None
    assert throttle.take_request()
