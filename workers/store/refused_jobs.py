"""Puts somebody else's job aside, in RQ's own way. Only workers import it, because it imports RQ."""

from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus

from workers.store.queue import FAILURE_SECONDS


def refuse_job(redis: Redis, job: Job, queue: Queue, reason: str) -> None:
    """Put a job into the queue's failed registry, where its owner finds it, without reading its data."""
    pipeline = redis.pipeline()
    job.set_status(JobStatus.FAILED, pipeline=pipeline)
    queue.failed_job_registry.add(job, ttl=FAILURE_SECONDS, exc_string=reason, pipeline=pipeline)
    pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
    pipeline.execute()
