"""The message that wakes a worker, written as RQ would write it; and what RQ's queue says of itself."""

from datetime import datetime
from uuid import uuid4

from redis import Redis
from redis.typing import EncodableT
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat, utcparse
from rq.worker_registration import get_keys

from workers.store import keys

QUEUE = "credits"
# A wire format: jobs of this name may lie in Redis while a new version starts.
DRAIN = "workers.jobs.drain"
_JOB_TIMEOUT_SECONDS = 180  # a drain ends itself in seconds; this is for one that hangs
_RESULT_SECONDS = 60  # long enough to be seen in a dashboard, short enough to cost no memory
_FAILURE_SECONDS = 86_400  # what became of a delivery is told by the delivery, not by RQ's job
# A worker that gave no sign for so long is dead or hangs: a drain takes 5 s, a request 20 s.
WORKER_SILENCE_SECONDS = 45
# A job wants a connection even where it is only written out; this one is never opened.
_NOWHERE = Redis()


def drain_job_args() -> list[EncodableT]:
    """Return what a script needs to queue one drain job: the last arguments of those that do."""
    job = new_drain_job()
    fields = job.to_dict() | {"enqueued_at": utcformat(now()), "status": JobStatus.QUEUED.value}
    flat = [piece for pair in fields.items() for piece in pair]
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
    return sum((now - utcparse(sign.decode())).total_seconds() < WORKER_SILENCE_SECONDS for sign in signs)
