"""RQ workers and jobs that are not ours: they delay nothing, are named, and keep what is theirs."""

from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.suspension import suspend

from tests.support.real_stores import QUEUE, RETAIN, accept, now_ms
from tests.support.rulebooks import watch_in
from workers.monitoring.health import START_WORKERS, examine
from workers.pipeline.work_loop import work_in_a_burst
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.queue import drain_job_args, foreign_workers, workers_alive

FORMER = "rq:queue:credits"


class Granter:
    """Counts the drains."""

    drains = 0

    def drain(self) -> None:
        """Count one."""
        self.drains += 1


@pytest.fixture
def granter() -> Granter:
    return Granter()


@pytest.fixture
def worker(redis: Redis, tmp_path: Path, granter: Granter) -> GrantWorker:
    return GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN, drain=granter.drain)


def test_what_is_due_is_done_although_a_foreign_worker_takes_every_job(
    redis: Redis, redis_url: str, worker: GrantWorker, granter: Granter
) -> None:
    accept(redis_url, "msg-1")
    for _ in range(3):
        redis.delete(QUEUE)  # a foreign worker has taken the job
        worker.tick()
        worker.drain_if_overdue()
    assert granter.drains == 1


def test_a_worker_does_not_drain_while_its_job_is_queued(
    redis_url: str, worker: GrantWorker, granter: Granter
) -> None:
    accept(redis_url, "msg-1")
    for _ in range(3):
        worker.tick()
        worker.drain_if_overdue()
    assert granter.drains == 0


def test_a_foreign_worker_on_our_queue_is_named_and_does_not_count_as_alive(
    redis: Redis, worker: GrantWorker
) -> None:
    foreign = Worker([Queue("credit-granter", connection=redis)], connection=redis, name="storefront.7")
    foreign.register_birth()  # type: ignore[no-untyped-call] # RQ is only partly typed
    (workers,) = [check for check in examine(redis) if check.name == "workers"]
    assert (workers.ok, workers.detail) == (
        False,
        f"0 alive: {START_WORKERS}; not ours, but on our queue: storefront.7 (stop them: they take our jobs)",
    )
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.tick()
    assert foreign_workers(redis) == ["storefront.7"]


def test_a_killed_worker_is_not_foreign_while_rq_remembers_it(redis: Redis, worker: GrantWorker) -> None:
    killed = Worker([Queue("credit-granter", connection=redis)], connection=redis, name="killed")
    killed.register_birth()  # type: ignore[no-untyped-call]
    redis.zadd(keys.WORKERS, {"killed": now_ms(redis) - 241_000})  # RQ's entry lasts 240 seconds
    worker.tick()
    assert workers_alive(redis) == 1
    assert foreign_workers(redis) == []


def test_a_suspended_storefront_does_not_stop_our_workers(
    redis: Redis, redis_url: str, worker: GrantWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # keep pytest's handlers
    accept(redis_url, "msg-1")
    suspend(redis)
    monkeypatch.setattr(worker, "execute_job", lambda *_: redis.delete(keys.DUE))
    work_in_a_burst(lambda: worker)
    assert not redis.exists(keys.DUE)  # the job was run


def test_our_job_in_the_former_queue_is_removed_and_nobody_elses(redis: Redis, worker: GrantWorker) -> None:
    theirs = Job.create("shop.mail", connection=redis, serializer=JSONSerializer, origin="credits")
    fields = drain_job_args()[4:]
    redis.hset("rq:job:ours", items=fields)
    redis.hset(f"rq:job:{theirs.id}", mapping=theirs.to_dict())
    redis.rpush(FORMER, "ours", theirs.id)
    worker.tick()
    assert redis.lrange(FORMER, 0, -1) == [theirs.id.encode()]
    assert not redis.exists("rq:job:ours")
    assert redis.exists(f"rq:job:{theirs.id}")
