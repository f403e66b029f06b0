"""The RQ worker: runs drain jobs in its own process, and looks for due work between them."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from config.log import get_log
from config.rulebook import Rulebook
from workers.core.delivery import Status
from workers.store import keys
from workers.store.clock import ClockWatch
from workers.store.instalments import InstalmentQueue
from workers.store.queue import (
    DRAIN_DATA,
    FORMER_QUEUE_KEY,
    JOB_TIMEOUT_SECONDS,
    QUEUE,
    WORKER_SILENCE_SECONDS,
    drain_job_args,
    forget_worker,
)
from workers.store.refused_jobs import refuse_job
from workers.store.scripts import load_script
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)

# RQ forgets a worker this long (plus a minute) after its last heartbeat. A job that hangs ends sooner.
_WORKER_TTL_SECONDS = JOB_TIMEOUT_SECONDS
# Waiting and failed deliveries are kept; these expire.
_LISTS = tuple(map(keys.deliveries, (Status.WAITING, Status.FAILED, Status.GRANTED, Status.SKIPPED)))

# Fields by which RQ would import and call code, or send requests, besides running the job itself.
_CALLBACK_FIELDS = ("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks")


class GrantWorker(SimpleWorker):
    """RQ's in-process worker with a tick. RQ's usual worker forks: that takes a hundred times our job."""

    def __init__(
        self,
        connection: Redis,
        *,
        rulebook: Rulebook,
        retain: timedelta,
        drain: Callable[[], None] = lambda: None,
        drain_ahead: Callable[[AbstractContextManager[object]], None] = lambda _limit: None,
        on_tick: Callable[[], None] = lambda: None,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._tick_seconds = timings.tick_seconds  # set first: RQ's __init__ reads dequeue_timeout
        super().__init__(
            [Queue(QUEUE, connection=connection, serializer=JSONSerializer)],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_TTL_SECONDS,
            log_job_description=False,
        )
        self.log_result_lifespan = False
        self._rulebook = rulebook
        self._retain = retain
        self._drain = drain
        self._drain_ahead = drain_ahead
        self._on_tick = on_tick
        self._timings = timings
        self._tick = connection.register_script(load_script("tick"))
        self._clock = ClockWatch(connection)
        self._instalments = InstalmentQueue(connection)
        self._next_tick = 0.0
        self._ticks_without_job = 0

    @property
    def dequeue_timeout(self) -> int:
        """Return how many seconds RQ waits for a job: until the next tick."""
        return self._tick_seconds

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run only drain jobs. RQ would import and call whatever somebody has written into Redis.

        The work is done before RQ's own steps around a job, within RQ's time limit.
        """
        if _is_ours(job):
            seconds = job.timeout or JOB_TIMEOUT_SECONDS
            self._drain_ahead(self.death_penalty_class(seconds, JobTimeoutException, job_id=job.id))
            super().execute_job(job, queue)
        else:
            log.error("foreign job refused", job=job.id)
            refuse_job(self.connection, job, queue, f"the queue {QUEUE} runs only credit-granter's own jobs")

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Send RQ a heartbeat, and tick if it is time and no job is being started."""
        super().heartbeat(timeout, pipeline)
        # RQ also calls this, with a pipeline, between taking a job and running it. The job's deliveries are
        # still due then, so a tick would queue a second job for them.
        if pipeline is None and time.monotonic() >= self._next_tick:
            self.tick()
            self._next_tick = time.monotonic() + self._tick_seconds

    def drain_if_overdue(self) -> None:
        """Do what is due if somebody else's worker has taken the job that a tick queued for it."""
        if self._ticks_without_job > 1:
            self._ticks_without_job = 0
            self._drain()

    def has_more(self) -> bool:
        """Return whether something is still due after a burst, for example because a job could not be run."""
        self.tick()
        return self.queues[0].count > 0

    def tick(self) -> None:
        """Make instalments due, queue a missing drain job, reload changed rules, and call ``on_tick``."""
        self._rulebook.reload_if_changed()
        if self._clock.compare(self._run_tick):
            self._register_again()
        self._instalments.move_due()  # after a step of the clock, Polar's is not known any more
        self._on_tick()

    def sign_off(self) -> None:
        """Leave the list of the workers that are alive."""
        forget_worker(self.connection, self.name)

    def _run_tick(self) -> list[bytes]:
        answer: list[bytes] = self._tick(
            keys=[
                keys.DUE, keys.RULES, keys.OUTAGE, keys.BEGAN, keys.CLOCK, keys.WORKERS, keys.PAUSE,
                keys.PROBE, keys.REDUCED_SHARE, keys.PRUNED, FORMER_QUEUE_KEY, *_LISTS,
            ],
            args=[
                self.name,
                WORKER_SILENCE_SECONDS,
                self._rulebook.summary(),
                int(self._rulebook.is_file_refused),
                _milliseconds(self._retain.total_seconds()),
                keys.DELIVERY,
                keys.BODY,
                _milliseconds(self._timings.longest_wait_seconds),
                _milliseconds(self._timings.longest_retry_after_seconds),
                _milliseconds(self._timings.lease_seconds),
                " ".join(self._rulebook.current().offers),
                *drain_job_args(),
            ],
        )  # fmt: skip
        *times, is_queued = answer
        self._ticks_without_job = self._ticks_without_job + 1 if is_queued == b"1" else 0
        return times

    def _register_again(self) -> None:
        """Register with RQ again: a clock that steps forward lets RQ's entry for this worker expire."""
        self.register_death()  # type: ignore[no-untyped-call] # RQ is only partly typed
        self.register_birth()  # type: ignore[no-untyped-call]


def _is_ours(job: Job) -> bool:
    """Return whether a job is a drain job and nothing else. Its data is compared, never parsed."""
    fields = job.to_dict(include_meta=False)
    return job.data == DRAIN_DATA and not any(fields.get(name) for name in _CALLBACK_FIELDS)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
