"""Runs a worker until a stop signal, through every outage of Redis.

RQ's own loop ends when Redis goes away, or waits for up to a minute, after which RQ has forgotten it. This
loop waits a few seconds at most, connects again (the name may resolve to another server by then), and
registers under the same name, so that no dead workers pile up in RQ's list.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DequeueTimeout, StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from workers.pipeline.worker import GrantWorker
from workers.store.full_disk import naming_full_disk, require_room
from workers.store.outage import RedisOutage
from workers.timings import DEFAULT_TIMINGS, Timings


def work_until_stopped(build: Callable[[], GrantWorker], timings: Timings = DEFAULT_TIMINGS) -> None:
    """Work until SIGTERM or SIGINT, through every outage of Redis."""
    stop, outage = _StopSignal(), RedisOutage(timings)
    worker: GrantWorker | None = None
    with suppress(StopRequested):
        while not stop.received:
            try:
                worker = worker or build()
                with naming_full_disk(worker.connection):
                    _register(worker)
                    while not stop.received:
                        _work_once(worker, stop, worker.dequeue_timeout)
                        outage.end()
            except RedisError as error:
                if worker:
                    worker.connection.connection_pool.disconnect()
                seconds = outage.record_failure(error)
                if not stop.received:
                    time.sleep(seconds)
    if worker and not outage.is_ongoing:
        _leave(worker)


def work_in_a_burst(build: Callable[[], GrantWorker]) -> None:
    """Work until nothing is due; RedisError if Redis is away, because the caller waits for a burst."""
    stop = _StopSignal()
    with suppress(StopRequested):
        worker = build()
        _register(worker)
        try:
            while not stop.received and (_work_once(worker, stop, None) or worker.has_more()):
                pass
        finally:
            _leave(worker)


def _register(worker: GrantWorker) -> None:
    require_room(worker.connection)
    _unregister(worker)  # else RQ would refuse our name, which an outage may have left registered
    worker.register_birth()  # type: ignore[no-untyped-call] # RQ is only partly typed
    worker.set_state(WorkerStatus.IDLE)


def _leave(worker: GrantWorker) -> None:
    with suppress(RedisError):  # a worker that has fallen silent is forgotten
        _unregister(worker)
        worker.sign_off()


def _unregister(worker: GrantWorker) -> None:
    worker.register_death()  # type: ignore[no-untyped-call]


def _work_once(worker: GrantWorker, stop: "_StopSignal", wait_seconds: int | None) -> bool:
    """Run one job; return False if none came in time."""
    require_room(worker.connection)
    # `rq suspend` is not heeded: somebody who suspends the workers of a storefront means those alone.
    if worker.should_run_maintenance_tasks:
        worker.run_maintenance_tasks()  # type: ignore[no-untyped-call]
    worker.heartbeat()
    with stop.deferred():
        worker.drain_if_overdue()
    found = _next_job(worker, wait_seconds)
    if found is None:
        return False
    with stop.deferred():
        worker.execute_job(*found)
    return True


def _next_job(worker: GrantWorker, wait_seconds: int | None) -> tuple[Job, Queue] | None:
    try:
        return worker.queue_class.dequeue_any(
            worker.queues, wait_seconds, connection=worker.connection, serializer=worker.serializer
        )
    except DequeueTimeout:
        return None


class _StopSignal:
    """SIGTERM and SIGINT. They stop us at once while we wait for a job, else after the job."""

    def __init__(self) -> None:
        self.received = False
        self._busy = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        is_first, self.received = not self.received, True
        if is_first and not self._busy:
            raise StopRequested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Stop only after the block."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
