"""After a step of the clock nothing looks older or newer than it is, and workers that live are alive."""

from datetime import timedelta

import pytest
from redis import Redis
from rq.worker_registration import get_keys
from structlog.testing import capture_logs

from tests.support.builders import grant_of, some_id
from tests.support.clock_steps import SLOW_MS, STEPS, check
from tests.support.moving_clock import DAY, HOUR, MINUTE, MovableServer, moves_a_clock
from tests.support.real_stores import RETAIN, accept, now_ms, outcome, plan_of, settled_story
from workers.core.delivery import Status
from workers.core.findings import Finding
from workers.monitoring.alerter import Alerter
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.audit import Audit
from workers.store.clock import PolarClock
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.queue import QUEUE, workers_alive
from workers.store.server_check import clock_findings
from workers.store.throttle import Throttle

pytestmark = moves_a_clock


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
