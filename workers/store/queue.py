"""The RQ job that wakes a worker, written as RQ writes it; and the state of RQ's queue."""

from uuid import uuid4

from redis import Redis
from redis.typing import EncodableT
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from workers.store import keys
from workers.store.clock import redis_now
from workers.store.scripts import milliseconds_of

QUEUE = "credits"
# A wire format: jobs with this name may be in Redis while a new version starts.
DRAIN = "workers.jobs.drain"
_JOB_TIMEOUT_SECONDS = 180  # a drain ends within seconds; this is for one that hangs
_RESULT_SECONDS = 60  # long enough for a dashboard to show it, short enough to cost no memory
_FAILURE_SECONDS = 86_400  # only for dashboards: the outcome of a delivery is kept with the delivery
# A worker without a tick for so long is dead or hangs: a drain takes 5 s, a request 20 s.
WORKER_SILENCE_SECONDS = 45
_NO_CONNECTION = Redis()  # RQ wants one to create a job, but never opens it


def drain_job_args() -> list[EncodableT]:
    """Return the last arguments of a script that may queue a drain job (see ``shared.lua``)."""
    job = new_drain_job()
    fields = job.to_dict() | {"enqueued_at": utcformat(now()), "status": JobStatus.QUEUED.value}
    flat = [value for pair in fields.items() for value in pair]
    return [
        keys.PAUSE,
        f"{Queue.redis_queue_namespace_prefix}{QUEUE}",
        Queue.redis_queues_keys,
        job.id,
        *flat,
    ]


def new_drain_job() -> Job:
    return Job.create(
        DRAIN,
        connection=_NO_CONNECTION,
        serializer=JSONSerializer,
        origin=QUEUE,
        id=f"drain-{uuid4().hex}",
        timeout=_JOB_TIMEOUT_SECONDS,
        result_ttl=_RESULT_SECONDS,
        failure_ttl=_FAILURE_SECONDS,
        description="drain what is due",
        status=JobStatus.QUEUED,
    )


def queue_length(redis: Redis) -> int:
    """Return the number of RQ jobs in our queue."""
    return Queue(QUEUE, connection=redis, serializer=JSONSerializer).count


def workers_alive(redis: Redis) -> int:
    """Return how many workers have ticked lately, by the clock of Redis alone."""
    now = milliseconds_of(redis_now(redis))
    return redis.zcount(keys.WORKERS, now - WORKER_SILENCE_SECONDS * 1000, now)


def forget_worker(redis: Redis, name: str) -> None:
    """Leave out a worker that ends of those that are alive."""
    redis.zrem(keys.WORKERS, name)
