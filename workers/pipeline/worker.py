"""RQ: the queue, the drain job as RQ reads it, and the worker that runs it in its own process."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from config.rulebook import Rulebook
from workers.core.delivery import Status
from workers.store import keys
from workers.store.queue import QUEUE, WORKER_SILENCE_SECONDS, drain_job_args, new_drain_job
from workers.store.scripts import load_script
from workers.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


_WORKER_SECONDS = 60  # RQ forgets a worker this long (and a minute) after its last sign


_PRUNED = (Status.GRANTED, Status.SKIPPED)  # failed deliveries are kept, waiting ones as well


# What RQ would import and call, or post to, beside the job itself.
_ERRANDS = ("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks")


class GrantWorker(SimpleWorker):
    """RQ's in-process worker, with a tick: a fork for each job would cost a hundred times the job."""

    def __init__(
        self,
        connection: Redis,
        *,
        rulebook: Rulebook,
        retain: timedelta,
        tell: Callable[[], None] = lambda: None,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._tick_seconds = timings.tick_seconds  # before super(): RQ asks for dequeue_timeout there
        super().__init__(
            [Queue(QUEUE, connection=connection, serializer=JSONSerializer)],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_SECONDS,
            log_job_description=False,
        )
        self.log_result_lifespan = False
        self._rulebook = rulebook
        self._retain = retain
        self._tell = tell
        self._tick = connection.register_script(load_script("tick"))
        self._next_tick = 0.0

    @property
    def dequeue_timeout(self) -> int:
        """Wait for a job only until the next tick."""
        return self._tick_seconds

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run our own job alone: RQ would import and call whatever anybody wrote into Redis."""
        if _is_ours(job):
            super().execute_job(job, queue)
        else:
            log.error("not our job: refused", job=job.id)
            job.delete()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Tell RQ that we live and, where this stands for itself and it is time, tick."""
        super().heartbeat(timeout, pipeline)
        # RQ calls this between taking a job and running it too: what that job is for is still due then.
        if pipeline is None and time.monotonic() >= self._next_tick:
            self.tick()
            self._next_tick = time.monotonic() + self._tick_seconds

    def has_more(self) -> bool:
        """Say whether something is due after a burst: a job that cannot be run leaves it behind."""
        self.tick()
        return self.queues[0].count > 0

    def tick(self) -> None:
        """Queue a drain job if something is due and none is queued; take up changed rules; tell people."""
        self._rulebook.reload_if_changed()
        self._tick(
            keys=[keys.DUE, keys.RULES, keys.OUTAGE, *map(keys.deliveries, _PRUNED)],
            args=[
                WORKER_SILENCE_SECONDS,
                self._rulebook.summary(),
                int(self._rulebook.is_file_refused),
                _milliseconds(self._retain),
                keys.DELIVERY,
                *drain_job_args(),
            ],
        )
        self._tell()


def _is_ours(job: Job) -> bool:
    """Say whether a job is to drain and nothing else; what it says is not even parsed."""
    fields = job.to_dict(include_meta=False)
    return job.data == new_drain_job().data and not any(fields.get(name) for name in _ERRANDS)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
