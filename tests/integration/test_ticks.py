"""The worker's tick, and its signs of life."""

from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, SimpleWorker

from tests.support.processes import TEN
from tests.support.real_stores import QUEUE, RETAIN, accept, let_pause_end, now_ms
from tests.support.rulebooks import TWENTY, Watch, watch_in, write
from workers.core.delivery import Status
from workers.monitoring.health import Check, examine
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.queue import queue_length, workers_alive
from workers.store.scripts import milliseconds_of
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Return the rulebook of the worker, with its file."""
    return watch_in(tmp_path)


@pytest.fixture
def worker(redis: Redis, watch: Watch) -> GrantWorker:
    return GrantWorker(redis, rulebook=watch.rulebook, retain=RETAIN)


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
    Throttle(redis).pause(60, "Polar answered 503")
    worker.tick()
    assert queue_length(redis) == 0
    let_pause_end(redis)
    worker.tick()
    assert queue_length(redis) == 1


def test_a_tick_writes_for_a_while_which_rules_are_in_force(
    redis: Redis, worker: GrantWorker, watch: Watch
) -> None:
    worker.tick()
    assert redis.hgetall(keys.RULES) == {
        b"in_force": f"1 rule, version {watch.version}".encode(),
        b"refused": b"0",
        b"offers": b"",
    }
    assert 0 < redis.ttl(keys.RULES) <= 60


def test_two_ticks_bring_changed_rules_into_force(redis: Redis, worker: GrantWorker, watch: Watch) -> None:
    before = watch.version
    write(watch.path, TWENTY)
    two_ticks(worker, watch)
    assert watch.version != before
    assert rules_check(redis) == Check(name="rules", ok=True, detail=f"1 rule, version {watch.version}")


def test_health_is_unwell_while_the_changed_file_is_broken(
    redis: Redis, worker: GrantWorker, watch: Watch
) -> None:
    """The rules in force still grant, but no worker could start with this file."""
    in_force = f"1 rule, version {watch.version}"
    write(watch.path, "version: 1")
    two_ticks(worker, watch)
    found = rules_check(redis)
    assert not found.ok
    assert found.detail.startswith(f"{in_force}; the file is now broken or missing and is not used")
    assert "credits check" in found.detail
    write(watch.path, TEN)
    two_ticks(worker, watch)
    assert rules_check(redis) == Check(name="rules", ok=True, detail=in_force)


def two_ticks(worker: GrantWorker, watch: Watch) -> None:
    """Let the time between two ticks pass."""
    worker.tick()
    watch.clock.seconds += DEFAULT_TIMINGS.tick_seconds
    worker.tick()


def rules_check(redis: Redis) -> Check:
    (found,) = [one for one in examine(redis) if one.name == "rules"]
    return found


def test_a_tick_removes_only_expired_deliveries_from_the_lists(redis: Redis, worker: GrantWorker) -> None:
    """A delivery that was received long ago but replayed lately still exists, and is still listed."""
    long_ago = now_ms(redis) - RETAIN.total_seconds() * 1000 - 1
    of_late = long_ago + 60_000
    redis.hset(keys.delivery("replayed"), "status", "granted")
    for status in Status:
        redis.zadd(keys.deliveries(status), {"expired": long_ago, "replayed": long_ago, "of late": of_late})
    worker.tick()
    left = {status: redis.zcard(keys.deliveries(status)) for status in Status}
    assert left == {Status.WAITING: 3, Status.GRANTED: 2, Status.SKIPPED: 2, Status.FAILED: 3}


@pytest.mark.parametrize("living", [1, 499, 500, 600, 1_700])
def test_expired_deliveries_are_removed_however_many_older_ones_live(
    redis: Redis, worker: GrantWorker, living: int
) -> None:
    """CREDITS_RETAIN was lowered: those that were settled before live for their longer time."""
    old, granted = now_ms(redis) - RETAIN.total_seconds() * 1000 - 60_000, keys.deliveries(Status.GRANTED)
    for number in range(living):
        redis.hset(keys.delivery(f"living-{number}"), "status", "granted")
    redis.zadd(granted, {f"living-{number}": old + number for number in range(living)})
    redis.zadd(granted, {f"expired-{number}": old + 30_000 + number for number in range(1_200)})
    ticks = 2 * (living + 1_200) // 500 + 2
    for _ in range(ticks):
        worker.tick()
    assert redis.zcard(granted) == living


def test_a_tick_looks_at_no_more_than_some_hundreds(redis: Redis, worker: GrantWorker) -> None:
    old, granted = now_ms(redis) - RETAIN.total_seconds() * 1000 - 60_000, keys.deliveries(Status.GRANTED)
    redis.zadd(granted, {f"expired-{number}": old + number for number in range(1_200)})
    left = []
    for _ in range(3):
        worker.tick()
        left.append(redis.zcard(granted))
    assert left == [700, 200, 0]
    assert redis.exists(keys.PRUNED) == 0


def test_a_worker_is_alive_while_it_has_heartbeats_and_until_it_signs_off(
    redis: Redis, worker: GrantWorker
) -> None:
    assert workers_alive(redis) == 0
    worker.heartbeat()
    assert workers_alive(redis) == 1
    redis.zincrby(keys.WORKERS, -60_000, worker.name)  # a minute passes
    assert workers_alive(redis) == 0
    worker.tick()
    assert workers_alive(redis) == 1
    worker.sign_off()
    assert workers_alive(redis) == 0


def test_a_tick_forgets_workers_that_have_fallen_silent(redis: Redis, worker: GrantWorker) -> None:
    redis.zadd(keys.WORKERS, {"killed": now_ms(redis) - 301_000})
    worker.tick()
    assert redis.zrange(keys.WORKERS, 0, -1) == [worker.name.encode()]


def test_workers_of_other_programs_in_the_same_redis_are_not_counted(redis: Redis) -> None:
    foreign = SimpleWorker([Queue("mail", connection=redis)], connection=redis)
    foreign.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    foreign.heartbeat()
    assert workers_alive(redis) == 0


def test_an_outage_ends_when_nothing_waits(redis: Redis, worker: GrantWorker) -> None:
    """A worker that was under way has granted everything; no request is left that could end the outage."""
    Throttle(redis).pause(60, "Polar answered 502")
    worker.tick()
    assert Throttle(redis).outage() is None
    assert Throttle(redis).current_pause() is not None  # the next worker waits nevertheless


def test_an_outage_continues_while_something_waits(redis: Redis, redis_url: str, worker: GrantWorker) -> None:
    accept(redis_url, "msg-1")
    Throttle(redis).pause(60, "Polar answered 502")
    worker.tick()
    assert Throttle(redis).outage() is not None


def test_the_first_tick_of_all_is_remembered(redis: Redis, ledger: Ledger, worker: GrantWorker) -> None:
    assert ledger.began_at() is None
    before = now_ms(redis)
    worker.tick()
    began = ledger.began_at()
    assert began is not None
    assert int(before) <= milliseconds_of(began) <= now_ms(redis)
    worker.tick()
    assert ledger.began_at() == began
    assert redis.ttl(keys.BEGAN) == -1


def test_workers_cannot_have_begun_in_the_future(redis: Redis, ledger: Ledger, worker: GrantWorker) -> None:
    """The clock of Redis was ahead, and has been set right."""
    redis.set(keys.BEGAN, int(now_ms(redis)) + 86_400_000)
    worker.tick()
    began = ledger.began_at()
    assert began is not None
    assert milliseconds_of(began) <= now_ms(redis)
