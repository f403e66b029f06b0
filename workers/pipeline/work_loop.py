"""A worker at work, whatever becomes of Redis: it says once that Redis is away, and once that it is back.

RQ's own loop ends when Redis goes away, or waits for up to a minute and is then registered nowhere. This
one waits a few seconds at most, connects anew (the name may lead to another server by then) and registers
again under its old name, so that no ghosts gather.
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
from workers.store.outage import RedisOutage
from workers.timings import DEFAULT_TIMINGS, Timings


def work_until_told(build: Callable[[], GrantWorker], timings: Timings = DEFAULT_TIMINGS) -> None:
    """Work until SIGTERM or SIGINT, through every outage of Redis."""
    stop, outage = _Stop(), RedisOutage(timings)
    worker: GrantWorker | None = None
    with suppress(StopRequested):
        while not stop.told:
            try:
                worker = worker or build()
                _register(worker)
                while not stop.told:
                    _work_once(worker, stop, worker.dequeue_timeout)
                    outage.end()
            except RedisError as error:
                if worker:
                    worker.connection.connection_pool.disconnect()
                seconds = outage.record_failure(error)
                if not stop.told:
                    time.sleep(seconds)
    if worker and not outage.is_ongoing:
        _leave(worker)


def work_in_a_burst(build: Callable[[], GrantWorker]) -> None:
    """Work until nothing is due; RedisError if Redis is away, as whoever wanted a burst waits for it."""
    stop = _Stop()
    with suppress(StopRequested):
        worker = build()
        _register(worker)
        try:
            while not stop.told and (_work_once(worker, stop, None) or worker.has_more()):
                pass
        finally:
            _leave(worker)


def _register(worker: GrantWorker) -> None:
    _unregister(worker)  # else RQ would take what an outage left of it for another of its name
    worker.register_birth()  # type: ignore[no-untyped-call] # RQ has types here and there
    worker.set_state(WorkerStatus.IDLE)


def _leave(worker: GrantWorker) -> None:
    with suppress(RedisError):  # RQ forgets who gives no sign
        _unregister(worker)


def _unregister(worker: GrantWorker) -> None:
    worker.register_death()  # type: ignore[no-untyped-call]


def _work_once(worker: GrantWorker, stop: "_Stop", wait_seconds: int | None) -> bool:
    """Do one job, if one comes in time."""
    worker.check_for_suspension(burst=wait_seconds is None)
    if worker.should_run_maintenance_tasks:
        worker.run_maintenance_tasks()  # type: ignore[no-untyped-call]
    worker.heartbeat()
    found = _next_job(worker, wait_seconds)
    if found is None:
        return False
    with stop.put_off():
        worker.execute_job(*found)
    return True


def _next_job(worker: GrantWorker, wait_seconds: int | None) -> tuple[Job, Queue] | None:
    try:
        return worker.queue_class.dequeue_any(
            worker.queues, wait_seconds, connection=worker.connection, serializer=worker.serializer
        )
    except DequeueTimeout:
        return None


class _Stop:
    """SIGTERM and SIGINT: heeded at once where we wait, and after the job where we work."""

    def __init__(self) -> None:
        self.told = False
        self._busy = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._tell)

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        first, self.told = not self.told, True
        if first and not self._busy:
            raise StopRequested

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Let the block end first."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
