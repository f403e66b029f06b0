"""A client of Redis can queue any job; our workers run only our own function."""

import json
import os
import pickle  # to plant data that we must not unpickle
import signal
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from tests.support.real_stores import QUEUE, RETAIN
from tests.support.rulebooks import watch_in
from workers import jobs
from workers.pipeline.work_loop import work_in_a_burst
from workers.pipeline.worker import GrantWorker
from workers.store.queue import DRAIN


class Harmful:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return the call that unpickling makes."""
        return os.mkdir, (str(self._path),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the folder that exists once planted code has run."""
    return tmp_path / "harm"


@pytest.fixture
def work(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that runs a worker until the queue is empty."""
    monkeypatch.setattr(jobs, "_granter", Idle())
    monkeypatch.setattr("signal.signal", lambda *_: None)  # keep pytest's handlers
    rulebook = watch_in(tmp_path).rulebook
    return lambda: work_in_a_burst(lambda: GrantWorker(redis, rulebook=rulebook, retain=RETAIN))


class Idle:
    """A granter that does nothing and counts its calls."""

    asked = 0

    def drain(self) -> None:
        """Do nothing."""
        type(self).asked += 1


def plant(redis: Redis, data: bytes, **others: str) -> str:
    """Queue a job with this data as RQ would."""
    job_id = uuid4().hex
    fields = {
        "origin": "credit-granter",
        "created_at": f"{datetime.now(UTC):%FT%TZ}",
        "status": "queued",
        **others,
    }
    flat = [piece for pair in fields.items() for piece in pair]
    redis.hset(f"rq:job:{job_id}", "data", zlib.compress(data), items=flat)
    redis.rpush(QUEUE, job_id)
    return job_id


def named(function: str, *args: str) -> bytes:
    return json.dumps([function, None, args, {}]).encode()


def test_a_pickled_job_is_not_unpickled(redis: Redis, mark: Path, work: Callable[[], None]) -> None:
    plant(redis, pickle.dumps(Harmful(mark)))
    work()
    assert not mark.exists()
    assert Queue("credit-granter", connection=redis, serializer=JSONSerializer).is_empty()


def test_a_job_with_another_function_is_refused_and_logged(
    redis: Redis, mark: Path, work: Callable[[], None]
) -> None:
    job_id = plant(redis, named("os.mkdir", str(mark)))
    with capture_logs() as logs:
        work()
    assert not mark.exists()
    queue = Queue("credit-granter", connection=redis, serializer=JSONSerializer)
    assert job_id in queue.failed_job_registry  # where its owner finds it
    assert redis.llen(queue.intermediate_queue_key) == 0
    assert [(one["event"], one["job"]) for one in logs] == [("foreign job refused", job_id)]


@pytest.mark.parametrize("field", ["success_callback_name", "failure_callback_name", "webhooks"])
def test_our_own_job_with_foreign_callbacks_is_refused(
    redis: Redis, work: Callable[[], None], *, field: str
) -> None:
    value = '[{"url": "http://127.0.0.1:9", "job_status": "finished"}]' if field == "webhooks" else "os.mkdir"
    job_id = plant(redis, named(DRAIN), **{field: value})
    work()
    assert job_id in Queue("credit-granter", connection=redis, serializer=JSONSerializer).failed_job_registry


def test_our_own_job_is_run(redis: Redis, work: Callable[[], None]) -> None:
    before = Idle.asked
    job_id = plant(redis, named(DRAIN))
    work()
    assert Idle.asked == before + 1
    assert Job.fetch(job_id, connection=redis, serializer=JSONSerializer).is_finished


def test_our_own_job_is_done_before_rq_notes_that_it_began(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ's notes take several writes to disk, for which no order needs to wait."""
    seen: list[tuple[str | None, int]] = []
    job_id = plant(redis, named(DRAIN))
    job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)

    class Looking(Idle):
        def drain(self) -> None:
            waiting = redis.llen("rq:queue:credit-granter:intermediate")
            seen.append((job.get_status(refresh=True), waiting))

    work_ahead(redis, tmp_path, monkeypatch, Looking())
    assert seen == [("queued", 1)]
    assert job.get_status(refresh=True) == "finished"
    assert redis.llen("rq:queue:credit-granter:intermediate") == 0


def test_a_job_that_hangs_is_ended_by_rqs_time_limit_and_fails(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Idle):
        def drain(self) -> None:
            time.sleep(30)

    job_id = plant(redis, named(DRAIN), timeout="1")
    work_ahead(redis, tmp_path, monkeypatch, Hanging())
    job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    assert job.is_failed
    assert "JobTimeoutException" in str(job.latest_result().exc_string)  # type: ignore[union-attr]


def work_ahead(redis: Redis, folder: Path, monkeypatch: pytest.MonkeyPatch, granter: Idle) -> None:
    """Run a worker that does its jobs ahead, as the real one does, until the queue is empty."""
    monkeypatch.setattr(jobs, "_granter", granter)
    monkeypatch.setattr(jobs, "_done_ahead", None)
    rulebook = watch_in(folder).rulebook

    def build() -> GrantWorker:
        return GrantWorker(redis, rulebook=rulebook, retain=RETAIN, drain_ahead=jobs.drain_ahead)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    work_in_a_burst(build)
    for number, handler in before.items():
        signal.signal(number, handler)
