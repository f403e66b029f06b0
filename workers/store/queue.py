"""The RQ job that wakes a worker, written as RQ writes it; and the state of RQ's queue.

It does without RQ: whoever queues a job or looks at the queue would import a large package for a few names. A
test compares them with RQ's own.
"""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.typing import EncodableT

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
FAILURE_SECONDS = 86_400  # only for dashboards: the outcome of a delivery is kept with the delivery
_RESULT_SECONDS = 60  # long enough for a dashboard to show it, short enough to cost no memory
# A worker without a tick for so long is dead or hangs: a drain takes 5 s, a request 20 s.
WORKER_SILENCE_SECONDS = 45

# A call of DRAIN as RQ's JSON serializer has it: no instance, no arguments.
DRAIN_DATA = json.dumps([DRAIN, None, [], {}]).encode()
# What is the same in each drain job. RQ writes the empty fields as well.
_FIELDS: Mapping[str, EncodableT] = {
    "data": zlib.compress(DRAIN_DATA),
    "success_callback_name": "",
    "failure_callback_name": "",
    "stopped_callback_name": "",
    "started_at": "",
    "ended_at": "",
    "last_heartbeat": "",
    "worker_name": "",
    "group_id": "",
    "origin": QUEUE,
    "description": "drain what is due",
    "timeout": JOB_TIMEOUT_SECONDS,
    "result_ttl": _RESULT_SECONDS,
    "failure_ttl": FAILURE_SECONDS,
    "status": "queued",
}

# RQ's names of its keys. Our scripts know how it names a job's.
QUEUES_KEY = "rq:queues"
QUEUE_KEY = f"rq:queue:{QUEUE}"
FORMER_QUEUE_KEY = f"rq:queue:{_FORMER_QUEUE}"
WORKERS_KEY = f"rq:workers:{QUEUE}"
WORKER_PREFIX = "rq:worker:"


def drain_job_args() -> list[EncodableT]:
    """Return the last arguments of a script that may queue a drain job (see ``drain_jobs.lua``)."""
    job_id = f"drain-{uuid4().hex}"
    return [keys.PAUSE, QUEUE_KEY, QUEUES_KEY, job_id, *chain.from_iterable(drain_job_fields().items())]


def drain_job_fields() -> dict[str, EncodableT]:
    """Return the hash of a drain job that is queued now."""
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return {**_FIELDS, "created_at": moment, "enqueued_at": moment}


def foreign_workers(redis: Redis) -> list[str]:
    """Return the names of RQ's workers on our queue that are not ours."""
    ours = {name.decode() for name in cast(list[bytes], redis.zrange(keys.WORKERS, 0, -1))}
    registered = cast(set[bytes], redis.smembers(WORKERS_KEY))
    names = {key.decode().removeprefix(WORKER_PREFIX) for key in registered}
    # RQ forgets a worker only when the next one looks for dead ones; its hash expires before.
    return sorted(name for name in names - ours if redis.exists(WORKER_PREFIX + name))


def queue_length(redis: Redis) -> int:
    """Return the number of RQ jobs in our queue."""
    return redis.llen(QUEUE_KEY)


def workers_alive(redis: Redis) -> int:
    """Return how many workers have ticked lately, by the clock of Redis alone."""
    now = milliseconds_of(redis_now(redis))
    return redis.zcount(keys.WORKERS, now - WORKER_SILENCE_SECONDS * 1000, now)


def forget_worker(redis: Redis, name: str) -> None:
    """Remove a worker that ends from the list of those that are alive."""
    redis.zrem(keys.WORKERS, name)
