"""RQ: the queue, the drain job as RQ reads it, and the worker that runs it in its own process."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from redis import Redis
from redis.typing import EncodableT
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat, utcparse
from rq.worker_registration import get_keys

from config.rulebook import Rulebook
from workers.core.claims import Status
from workers.store import keys
from workers.store.scripts import lua

log = structlog.get_logger(__name__)

QUEUE = "credits"

# A wire format: jobs of this name may lie in Redis while a new version starts.
DRAIN = "workers.jobs.drain"

TICK_SECONDS = 2  # how long what nobody woke up for may lie; a tick is a round trip or two

_JOB_TIMEOUT_SECONDS = 180  # a drain ends itself in seconds; this is for one that hangs
_RESULT_SECONDS = 60  # long enough to be seen in a dashboard, short enough to cost no memory
_FAILURE_SECONDS = 86_400  # what became of a delivery is told by the delivery, not by RQ's job
_WORKER_SECONDS = 60  # RQ forgets a worker this long (and a minute) after its last sign

# A worker that gave no sign for so long is dead or hangs: a drain takes 5 s, a request 20 s.
_SIGN_SECONDS = 45

_PRUNED = (Status.GRANTED, Status.SKIPPED)  # failed deliveries are kept, waiting ones as well


# What RQ would import and call, or post to, beside the job itself.
_ERRANDS = ("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks")


def wake_args() -> list[EncodableT]:
    """Return what a script needs to queue one drain job: the last arguments of those that do."""
    job = _drain_job()
    fields = job.to_dict() | {"enqueued_at": utcformat(now()), "status": JobStatus.QUEUED.value}
    flat = [piece for pair in fields.items() for piece in pair]
    return [
        keys.PAUSE,
        f"{Queue.redis_queue_namespace_prefix}{QUEUE}",
        Queue.redis_queues_keys,
        job.id,
        *flat,
    ]


def _drain_job() -> Job:
    return Job.create(
        DRAIN,
        connection=_NOWHERE,
        serializer=JSONSerializer,
        origin=QUEUE,
        id=f"drain-{uuid4().hex}",
        timeout=_JOB_TIMEOUT_SECONDS,
        result_ttl=_RESULT_SECONDS,
        failure_ttl=_FAILURE_SECONDS,
        description="drain what is due",
        status=JobStatus.QUEUED,
    )


# A job wants a connection even where it is only written out; this one is never opened.
_NOWHERE = Redis()


class GrantWorker(SimpleWorker):
    """RQ's in-process worker, with a tick: a fork for each job would cost a hundred times the job."""

    def __init__(
        self,
        connection: Redis,
        *,
        rulebook: Rulebook,
        retain: timedelta,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
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
        self._tick = connection.register_script(lua("tick"))
        self._next_tick = 0.0

    @property
    def dequeue_timeout(self) -> int:
        """Wait for a job only until the next tick."""
        return TICK_SECONDS

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
            self._next_tick = time.monotonic() + TICK_SECONDS

    def has_more(self) -> bool:
        """Say whether something is due after a burst: a job that cannot be run leaves it behind."""
        self.tick()
        return self.queues[0].count > 0

    def tick(self) -> None:
        """Queue a drain job if something is due and none is queued; take up changed rules; tell people."""
        self._rulebook.look()
        self._tick(
            keys=[keys.DUE, keys.RULES, keys.OUTAGE, *map(keys.deliveries, _PRUNED)],
            args=[
                _SIGN_SECONDS,
                self._rulebook.in_force(),
                _milliseconds(self._retain),
                keys.DELIVERY,
                *wake_args(),
            ],
        )
        self._tell()


def _is_ours(job: Job) -> bool:
    """Say whether a job is to drain and nothing else; what it says is not even parsed."""
    fields = job.to_dict(include_meta=False)
    return job.data == _drain_job().data and not any(fields.get(name) for name in _ERRANDS)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def queue_length(redis: Redis) -> int:
    """Return how many RQ jobs wait in our queue."""
    return Queue(QUEUE, connection=redis, serializer=JSONSerializer).count


def workers_alive(redis: Redis, now: datetime) -> int:
    """Return how many of RQ's workers on our queue gave a sign of life lately."""
    queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
    pipeline = redis.pipeline(transaction=False)
    for key in get_keys(queue=queue):
        pipeline.hmget(key, "last_heartbeat", "death")
    signs = [sign for sign, death in pipeline.execute() if sign and not death]
    return sum((now - utcparse(sign.decode())).total_seconds() < _SIGN_SECONDS for sign in signs)
