"""We write our job, and name RQ's keys, without RQ: exactly as RQ does."""

from datetime import timedelta

from redis import Redis
from rq import Queue, Worker
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import utcparse
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from workers import jobs
from workers.store import queue


def test_the_job_has_the_fields_that_rq_writes() -> None:
    by_rq = Job.create(
        jobs.drain,
        connection=Redis(),
        serializer=JSONSerializer,
        origin="credit-granter",
        timeout=180,
        result_ttl=60,
        failure_ttl=86_400,
        description="drain what is due",
        status=JobStatus.QUEUED,
    )
    by_rq.enqueued_at = by_rq.created_at
    ours, theirs = queue.drain_job_fields(), by_rq.to_dict()
    for name in ("created_at", "enqueued_at"):
        assert abs(utcparse(str(ours.pop(name))) - utcparse(theirs.pop(name))) < timedelta(minutes=1)
    assert ours == theirs


def test_the_keys_have_the_names_that_rq_gives_them() -> None:
    ours = [queue.QUEUE_KEY, queue.QUEUES_KEY, queue.WORKERS_KEY, queue.WORKER_PREFIX]
    rqs = Queue("credit-granter", connection=Redis())
    assert ours == [
        rqs.key,
        Queue.redis_queues_keys,
        WORKERS_BY_QUEUE_KEY % "credit-granter",
        Worker.redis_worker_namespace_prefix,
    ]
