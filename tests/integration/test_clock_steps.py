"""The clock of a real Redis server is moved, forward and back: nothing waits, and nothing looks old."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq.worker_registration import get_keys
from structlog.testing import capture_logs

from tests.support.builders import grant_of, some_id
from tests.support.moving_clock import DAY, HOUR, MINUTE, MovableServer, movable_redis, moves_a_clock
from tests.support.processes import eventually
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
from workers.core.findings import Finding
from workers.monitoring.alerter import Alerter
from workers.monitoring.health import examine
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.audit import Audit
from workers.store.clock import PolarClock
from workers.store.counts import Tally
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.queue import QUEUE, workers_alive
from workers.store.schedule import ReconcileSchedule
from workers.store.server_check import clock_findings
from workers.store.throttle import Throttle

pytestmark = moves_a_clock

STEPS = [-DAY, -10 * MINUTE, HOUR, DAY]
BACK = [step for step in STEPS if step < 0]
# What the machine may need for a test's own steps.
SLOW_MS = 20_000


@pytest.fixture
def movable(tmp_path: Path) -> Iterator[MovableServer]:
    with movable_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis(movable: MovableServer) -> Iterator[Redis]:
    with movable.server.client() as client:
        yield client


@pytest.fixture
def new_worker(redis: Redis, tmp_path: Path) -> Callable[[], GrantWorker]:
    (tmp_path / "rules").mkdir()
    rulebook = watch_in(tmp_path / "rules").rulebook
    return lambda: GrantWorker(redis, rulebook=rulebook, retain=RETAIN)


@pytest.fixture
def worker(new_worker: Callable[[], GrantWorker]) -> GrantWorker:
    """Return a worker that has seen the clock before the step."""
    worker = new_worker()
    worker.tick()
    return worker


def check(redis: Redis, name: str) -> tuple[bool, str]:
    (found,) = [one for one in examine(redis) if one.name == name]
    return found.ok, found.detail


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


@pytest.mark.parametrize("step", STEPS)
def test_ages_are_what_they_were_before_the_step_and_alarm_nobody(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    alerter = Alerter(redis, url="http://127.0.0.1:9/nobody-is-told")
    accept(movable.url, "msg-1")
    Throttle(redis).pause(60, "Polar answered 503")
    alerter.check()
    movable.set_clock(step)
    worker.tick()
    with capture_logs() as logs:
        alerter.check()
        alerter.finish()
    assert logs == []
    for name in ("waiting", "polar"):
        ok, detail = check(redis, name)
        assert ok, detail
    (delivery,) = DeliveryStore(redis).newest()
    assert abs(delivery.received_at.timestamp() * 1000 - now_ms(redis)) < SLOW_MS


@pytest.mark.parametrize("step", STEPS)
def test_what_has_waited_too_long_is_noticed_after_a_step_as_before(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    accept(movable.url, "msg-1")
    redis.zincrby(keys.deliveries(Status.WAITING), -4 * MINUTE * 1000, "msg-1")
    movable.set_clock(step)
    worker.tick()
    assert check(redis, "waiting") == (True, "the oldest delivery has been waiting for 4 min")
    redis.zincrby(keys.deliveries(Status.WAITING), -MINUTE * 1000, "msg-1")
    assert not check(redis, "waiting")[0]


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


@pytest.mark.parametrize("step", STEPS)
def test_workers_stay_alive_and_registered(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    worker.heartbeat()
    movable.set_clock(step)
    worker.tick()
    assert workers_alive(redis) == 1
    assert get_keys(queue=worker.queues[0]) == {worker.key}
    assert redis.hget(worker.key, "queues") == QUEUE.encode()


def test_a_dead_worker_is_not_alive_for_as_long_as_the_clock_was_set_back(
    movable: MovableServer, redis: Redis, worker: GrantWorker
) -> None:
    movable.set_clock(-HOUR)
    assert workers_alive(redis) == 0


def test_what_was_settled_while_the_clock_was_ahead_is_listed_and_expires_as_if_settled_now(
    movable: MovableServer, redis: Redis, worker: GrantWorker
) -> None:
    movable.set_clock(100 * DAY)
    worker.tick()
    settled_story(movable.url, DeliveryStore(redis), Ledger(redis, retain=RETAIN))
    movable.set_clock(0)
    worker.tick()
    (delivery,) = DeliveryStore(redis).newest()
    assert delivery.received_at.timestamp() * 1000 <= now_ms(redis)
    for key in (keys.delivery(delivery.id), keys.body(delivery.id)):
        assert redis.ttl(key) <= RETAIN.total_seconds()


@pytest.mark.parametrize("step", STEPS)
def test_settled_deliveries_of_an_order_are_still_found(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    store, ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)
    for id_ in ("before", "after"):
        accept(movable.url, id_)
        (leased,) = store.lease(10).deliveries
        ledger.settle([], [outcome(leased, Status.SKIPPED, "no rule matches")])
        if id_ == "before":
            movable.set_clock(step)
            worker.tick()
    assert sorted(one.id for one in store.about_order(some_id(1))) == ["after", "before"]
    assert redis.ttl(keys.about(some_id(1))) >= RETAIN.total_seconds() - 60


@pytest.mark.parametrize("step", STEPS)
def test_the_audit_trail_goes_on_after_a_step(
    movable: MovableServer, redis: Redis, worker: GrantWorker, step: int
) -> None:
    store, ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)
    settled_story(movable.url, store, ledger)
    movable.set_clock(step)
    worker.tick()
    accept(movable.url, "msg-2")
    (leased,) = store.lease(10).deliveries
    second = grant_of(2)
    ledger.claim([(leased.id, plan_of(second))])
    ledger.settle([second], [outcome(leased)])
    newest, oldest = Audit(redis, ledger).newest()
    assert (newest.grant.key, oldest.grant.key) == (second.key, grant_of(1).key)
    assert ledger.count_grants() == 2


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(630, "this host's clock is 10 min behind Redis's; set the one"), (-DAY, "24 h ahead of Redis's")],
)
def test_health_and_check_say_how_this_hosts_clock_differs(
    movable: MovableServer, redis: Redis, *, ahead: int, words: str
) -> None:
    assert check(redis, "clock") == (True, "agrees with Redis's")
    assert clock_findings(redis) == [Finding(level="ok", what="clock", detail="agrees with Redis's")]
    PolarClock(redis).note(timedelta(0))
    assert check(redis, "clock") == (True, "agrees with Redis's and Polar's")
    redis.delete(keys.POLAR_CLOCK)
    movable.set_clock(ahead)
    ok, detail = check(redis, "clock")
    assert not ok
    assert words in detail
    assert clock_findings(redis) == [Finding(level="warning", what="clock", detail=detail)]
