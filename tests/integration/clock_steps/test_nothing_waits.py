"""After a step of the clock nothing waits for longer: deliveries, retries, leases, pauses, shares."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.clock_steps import BACK, SLOW_MS, STEPS, check
from tests.support.moving_clock import DAY, HOUR, MINUTE, MovableServer, moves_a_clock
from tests.support.processes import eventually
from tests.support.real_stores import RETAIN, accept, due_ms, ids_of, now_ms, outcome, scores
from workers.core.delivery import Status
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.counts import Tally
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.schedule import ReconcileSchedule
from workers.store.throttle import Throttle

pytestmark = moves_a_clock


@pytest.mark.parametrize("step", STEPS)
def test_a_step_holds_back_no_delivery(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    throttle, store = Throttle(redis), DeliveryStore(redis)
    for _ in range(3):
        assert throttle.take_request()
    accept(movable.url, "before")
    movable.set_clock(step)
    worker.tick()
    accept(movable.url, "after")
    assert throttle.take_request()
    assert throttle.current_pause() is None
    assert sorted(ids_of(store.lease(10).deliveries)) == ["after", "before"]


@pytest.mark.parametrize("ahead", [HOUR, DAY])
def test_a_clock_that_is_set_forward_and_corrected_holds_back_nothing(
    movable: MovableServer, redis: Redis, worker: GrantWorker, ahead: int
) -> None:
    throttle = Throttle(redis)
    movable.set_clock(ahead)
    worker.tick()
    accept(movable.url, "msg-1")
    assert throttle.take_request()
    movable.set_clock(0)
    worker.tick()
    assert throttle.take_request()
    assert ids_of(DeliveryStore(redis).lease(10).deliveries) == ["msg-1"]


@pytest.mark.parametrize("ahead", [10 * MINUTE, DAY])
def test_a_clock_that_is_set_forward_and_corrected_between_two_ticks_holds_back_nothing(
    movable: MovableServer, redis: Redis, worker: GrantWorker, ahead: int
) -> None:
    throttle, store = Throttle(redis), DeliveryStore(redis)
    accept(movable.url, "before")
    redis.zincrby(keys.deliveries(Status.WAITING), -4 * MINUTE * 1000, "before")
    movable.set_clock(ahead)
    accept(movable.url, "meanwhile")
    assert throttle.take_request()
    movable.set_clock(0)
    worker.tick()
    eventually(throttle.take_request)
    assert check(redis, "waiting") == (True, "the oldest delivery has been waiting for 4 min")
    assert sorted(ids_of(store.lease(10).deliveries)) == ["before", "meanwhile"]


@pytest.mark.parametrize("step", BACK)
def test_a_worker_that_starts_after_the_step_holds_back_nothing_either(
    movable: MovableServer, redis: Redis, new_worker: Callable[[], GrantWorker], step: int
) -> None:
    accept(movable.url, "msg-1")
    Throttle(redis).pause(30, "Polar answered 503")
    movable.set_clock(step)
    new_worker().tick()
    assert redis.pttl(keys.PAUSE) <= 30_000 + SLOW_MS
    redis.delete(keys.PAUSE)
    assert ids_of(DeliveryStore(redis).lease(10).deliveries) == ["msg-1"]


@pytest.mark.parametrize("step", STEPS)
def test_a_retry_and_a_lease_come_no_later_than_without_the_step(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    accept(movable.url, "retried", "leased")
    store = DeliveryStore(redis)
    retried, _ = sorted(store.lease(10).deliveries, key=lambda one: one.id, reverse=True)
    put_off = outcome(retried, Status.WAITING, "Polar answered 500", after_seconds=810, strike=True)
    Ledger(redis, retain=RETAIN).settle([], [put_off])
    movable.set_clock(step)
    worker.tick()
    waits = {one: (due_ms(redis, one) or 0) - now_ms(redis) for one in ("retried", "leased")}
    assert waits["retried"] <= 810_000 + SLOW_MS
    assert waits["leased"] <= 40_000 + SLOW_MS
    if step < 0:  # and hardly earlier
        assert waits["retried"] >= 810_000 - SLOW_MS


@pytest.mark.parametrize("step", BACK)
def test_pauses_probes_and_reductions_last_no_longer_than_without_the_step(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    accept(movable.url, "msg-1")
    throttle = Throttle(redis)
    throttle.pause_for_rate_limit(1, "Polar answered 429")
    redis.delete(keys.PAUSE)
    throttle.pause(50, "Polar answered 503")
    redis.set(keys.PROBE, 1, px=40_000)
    reconciliation = ReconcileSchedule(redis, Tally())
    assert reconciliation.begin(at_most=timedelta(hours=6))
    longest = {keys.PAUSE: 50, keys.PROBE: 40, keys.REDUCED_SHARE: 301, keys.RECONCILED: 6 * HOUR}
    movable.set_clock(step)
    assert redis.pttl(keys.PAUSE) > 50_000
    worker.tick()
    for key, seconds in longest.items():
        assert seconds * 1000 - SLOW_MS < redis.pttl(key) <= seconds * 1000 + 1000, key


@pytest.mark.parametrize("step", BACK)
def test_even_before_a_worker_notices_the_share_is_back_within_seconds(
    movable: MovableServer, redis: Redis, step: int
) -> None:
    throttle = Throttle(redis)
    while throttle.take_request():
        pass
    redis.delete(keys.PAUSE)
    movable.set_clock(step)
    throttle.take_request()
    pause = throttle.current_pause()
    assert pause is None or pause.left <= timedelta(seconds=1)
    assert throttle.background_delay(take=False) <= timedelta(seconds=30)


@pytest.mark.parametrize(("step", "direction"), [(-HOUR, "back"), (DAY, "forward")])
def test_of_several_workers_one_logs_a_step_and_mends_it_once(
    movable: MovableServer,
    redis: Redis,
    new_worker: Callable[[], GrantWorker],
    *,
    step: int,
    direction: str,
) -> None:
    workers = [new_worker() for _ in range(3)]
    for worker in workers:
        worker.tick()
    accept(movable.url, "msg-1")
    movable.set_clock(step)
    with capture_logs() as logs:
        for worker in [*workers, *workers]:
            worker.tick()
    (line,) = logs
    assert line["event"] == f"the clock of Redis stepped {direction}"
    assert line["by"] in {"59 min", "60 min", "24 h", "23 h"}
    assert redis.hget(keys.CLOCK, "steps") == b"1"
    received = scores(redis, keys.deliveries(Status.WAITING))["msg-1"]
    assert abs(received - now_ms(redis)) < SLOW_MS
