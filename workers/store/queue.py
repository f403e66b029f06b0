"""The RQ job that wakes a worker, written as RQ writes it; and the state of RQ's queue."""

from functools import cache
from itertools import chain
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.typing import EncodableT
from rq import Queue, Worker
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from rq.worker_registration import get_keys

from workers.store import keys
from workers.store.clock import redis_now
from workers.store.scripts import milliseconds_of

# Not a name that anybody else's queue has by accident: a foreign worker on our queue would take our jobs.
QUEUE = "credit-granter"
# What our queue was called in versions before 0.1.0. A job that such a version has left there is removed.
_FORMER_QUEUE = "credits"
# A wire format: jobs with this name may be in Redis while a new version starts.
DRAIN = "workers.jobs.drain"
JOB_TIMEOUT_SECONDS = 180  # a drain ends within seconds; this is for one that hangs
_RESULT_SECONDS = 60  # long enough for a dashboard to show it, short enough to cost no memory
_FAILURE_SECONDS = 86_400  # only for dashboards: the outcome of a delivery is kept with the delivery
# A worker without a tick for so long is dead or hangs: a drain takes 5 s, a request 20 s.
WORKER_SILENCE_SECONDS = 45
_NO_CONNECTION = Redis()  # RQ wants one to create a job, but never opens it


def drain_job_args() -> list[EncodableT]:
    """Return the last arguments of a script that may queue a drain job (see ``drain_jobs.lua``)."""
    moment = utcformat(now())
    fields = {**_drain_job_fields(), "created_at": moment, "enqueued_at": moment}
    return [
        keys.PAUSE,
        f"{Queue.redis_queue_namespace_prefix}{QUEUE}",
        Queue.redis_queues_keys,
        _new_id(),
        *chain.from_iterable(fields.items()),
    ]


@cache
def _drain_job_fields() -> dict[str, EncodableT]:
    """Return what RQ writes of each drain job; to make one takes as long as to verify several webhooks."""
    return {**new_drain_job().to_dict(), "status": JobStatus.QUEUED.value}


@cache
def drain_job_data() -> bytes:
    """Return what a drain job calls, as RQ writes it before it compresses it."""
    return bytes(new_drain_job().data)


def _new_id() -> str:
    return f"drain-{uuid4().hex}"


def new_drain_job() -> Job:
    return Job.create(
        DRAIN,
        connection=_NO_CONNECTION,
        serializer=JSONSerializer,
        origin=QUEUE,
        id=_new_id(),
        timeout=JOB_TIMEOUT_SECONDS,
        result_ttl=_RESULT_SECONDS,
        failure_ttl=_FAILURE_SECONDS,
        description="drain what is due",
        status=JobStatus.QUEUED,
    )


FORMER_QUEUE_KEY = f"{Queue.redis_queue_namespace_prefix}{_FORMER_QUEUE}"


def refuse_job(redis: Redis, job: Job, queue: Queue, reason: str) -> None:
    """Put somebody's job into the queue's failed registry, where they find it, without reading its data."""
    pipeline = redis.pipeline()
    job.set_status(JobStatus.FAILED, pipeline=pipeline)
    queue.failed_job_registry.add(job, ttl=_FAILURE_SECONDS, exc_string=reason, pipeline=pipeline)
    pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
    pipeline.execute()


def foreign_workers(redis: Redis) -> list[str]:
    """Return the names of RQ's workers on our queue that are not ours."""
    queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
    ours = {name.decode() for name in cast(list[bytes], redis.zrange(keys.WORKERS, 0, -1))}
    prefix = Worker.redis_worker_namespace_prefix
    names = {key.removeprefix(prefix) for key in get_keys(queue=queue)}
    # RQ forgets a worker only when the next one looks for dead ones; its hash expires before.
    return sorted(name for name in names - ours if redis.exists(prefix + name))


def queue_length(redis: Redis) -> int:
    """Return the number of RQ jobs in our queue."""
    return Queue(QUEUE, connection=redis, serializer=JSONSerializer).count


def workers_alive(redis: Redis) -> int:
    """Return how many workers have ticked lately, by the clock of Redis alone."""
    now = milliseconds_of(redis_now(redis))
    return redis.zcount(keys.WORKERS, now - WORKER_SILENCE_SECONDS * 1000, now)


def forget_worker(redis: Redis, name: str) -> None:
    """Remove a worker that ends from the list of those that are alive."""
    redis.zrem(keys.WORKERS, name)
