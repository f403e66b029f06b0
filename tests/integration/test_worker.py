"""A real worker process between a real Redis and the stand-in for Polar, over real HTTP."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from app.demo.polar import CommitThenBreak, Fault, Garbage, Polar, RateLimited, Status, create_app
from app.main import create_app as create_receiver
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Credits, credits_in, eventually, post, some_polar
from tests.support.servers import running
from workers.core.delivery import Delivery
from workers.core.delivery import Status as Became
from workers.store.deliveries import DeliveryStore

STRANGER = some_id(999)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running receiver and stand-in, and a worker that the test starts when it wants."""

    url: str
    polar: Polar
    redis: Redis
    credits: Credits

    def receive(self, *bodies: bytes) -> list[str]:
        with httpx.Client(base_url=self.url) as client:
            return [post(client, body) for body in bodies]

    def work(self) -> None:
        """Run a worker until nothing is due."""
        done = self.credits.run("work", "--burst")
        assert done.returncode == 0, done.stderr

    def outcomes(self) -> list[Delivery]:
        """Run workers until every delivery is settled; return the deliveries."""

        def settled() -> list[Delivery]:
            self.work()
            found = list(DeliveryStore(self.redis).newest())
            return [] if any(one.status is Became.WAITING for one in found) else found

        return eventually(settled)

    @property
    def requests(self) -> list[list[str]]:
        """Return the external ids of each request to ingest, in the order sent."""
        return [[event["external_id"] for event in one.events] for one in self.polar.received]

    @property
    def queue(self) -> Queue:
        """Return our queue as ``rq info`` and dashboards read it."""
        return Queue("credit-granter", connection=self.redis, serializer=JSONSerializer)


@pytest.fixture
def shop(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Shop]:
    polar = some_polar(*map(some_id, range(1, 301)))
    with running(create_app(polar)) as polar_url:
        credits_ = credits_in(tmp_path, polar_url, REDIS_URL=redis_url)
        with running(create_receiver(credits_.read())) as url:
            yield Shop(url=url, polar=polar, redis=redis, credits=credits_)


def purchases(count: int) -> list[bytes]:
    """Return the webhooks of ``count`` purchases, each with another order and customer."""
    return [order_webhook(id=some_id(n), customer_id=some_id(n)) for n in range(1, count + 1)]


def assert_credited_once(shop: Shop, count: int) -> None:
    """Check at Polar that each of the first ``count`` customers has ten credits from one event."""
    assert {shop.polar.balance(some_id(n), "api_usage") for n in range(1, count + 1)} == {10}
    assert len(shop.polar.events) == count


def test_a_burst_of_purchases_goes_to_polar_in_few_requests(shop: Shop) -> None:
    shop.receive(*purchases(300))
    shop.work()
    assert {one.status for one in DeliveryStore(shop.redis).newest()} == {Became.GRANTED}
    assert_credited_once(shop, 300)
    assert len(shop.requests) <= 3


def test_the_events_of_a_request_are_sorted_so_that_workers_cannot_deadlock_at_polar(shop: Shop) -> None:
    shop.receive(*purchases(20)[::-1])
    shop.work()
    (request,) = shop.requests
    assert request == sorted(request)


def test_one_order_under_two_webhook_ids_is_credited_once(shop: Shop) -> None:
    (body,) = purchases(1)
    shop.receive(body, body)
    assert sorted(one.status for one in shop.outcomes()) == [Became.GRANTED, Became.SKIPPED]
    assert_credited_once(shop, 1)


def test_a_burst_of_webhooks_queues_one_job_that_rq_can_read(shop: Shop) -> None:
    shop.receive(*purchases(5))
    (job,) = shop.queue.jobs
    assert (job.func_name, job.args, job.get_status()) == ("workers.jobs.drain", [], JobStatus.QUEUED)


def test_rq_sees_our_jobs_as_finished(shop: Shop) -> None:
    shop.receive(*purchases(5))
    shop.work()
    ids = shop.queue.finished_job_registry.get_job_ids()
    jobs = [job for job_id in ids if (job := shop.queue.fetch_job(job_id))]
    assert {job.get_status() for job in jobs} == {JobStatus.FINISHED}
    assert shop.queue.is_empty()
    assert not FailedJobRegistry(queue=shop.queue).get_job_ids()


def test_nothing_is_pickled(shop: Shop) -> None:
    """A client of Redis could run any code in a worker that unpickles jobs."""
    shop.receive(*purchases(1))
    (job_id,) = shop.queue.job_ids
    fields = cast(dict[bytes, bytes], shop.redis.hgetall(f"rq:job:{job_id}"))
    assert json.loads(zlib.decompress(fields[b"data"]))[0] == "workers.jobs.drain"


def test_rq_sees_a_running_worker_and_none_after_its_end(shop: Shop) -> None:
    def workers() -> list[BaseWorker]:
        return Worker.all(queue=shop.queue, serializer=JSONSerializer)

    with shop.credits.running("work"):
        (worker,) = eventually(workers)
        assert worker.queue_names() == ["credit-granter"]
    assert not workers()


@pytest.mark.parametrize(
    "fault",
    [
        CommitThenBreak(),
        Status(500),
        Status(502),
        Status(503),
        Status(401, '{"error": "invalid_token"}'),
        Garbage(),
        Garbage('{"inserted": 1, "duplicates": 0}'),
        RateLimited(1),
    ],
    ids=repr,
)
def test_a_fault_at_polar_neither_loses_nor_doubles_a_credit(shop: Shop, fault: Fault) -> None:
    shop.polar.faults.append(fault)
    shop.receive(*purchases(3))
    assert {one.status for one in shop.outcomes()} == {Became.GRANTED}
    assert_credited_once(shop, 3)
    assert len(shop.requests) >= 2
    assert shop.requests[0] == shop.requests[-1]


def test_polar_gets_no_requests_during_a_pause(shop: Shop) -> None:
    shop.polar.faults.append(RateLimited(600))
    shop.receive(*purchases(2))
    for _ in range(3):
        shop.work()
    shop.receive(*purchases(3)[2:])
    shop.work()
    assert len(shop.requests) == 1
    assert {one.status for one in DeliveryStore(shop.redis).newest()} == {Became.WAITING}


def test_an_unknown_customer_does_not_stop_the_credit_of_others(shop: Shop) -> None:
    bodies = purchases(5)
    (lost,) = shop.receive(order_webhook(id=some_id(3), customer_id=STRANGER))
    shop.receive(*bodies[:2], *bodies[3:])
    shop.work()
    outcomes = {one.id: one for one in DeliveryStore(shop.redis).newest()}
    failed = outcomes.pop(lost)
    assert failed.status is Became.FAILED
    assert "Customer not found." in failed.reason
    assert {one.status for one in outcomes.values()} == {Became.GRANTED}
    assert len(shop.polar.events) == 4


def test_an_unreadable_body_fails_and_does_not_stop_the_credit_of_others(shop: Shop) -> None:
    (unreadable,) = shop.receive(b'{"type": "order.paid", "data": {"id": "no-uuid"}}')
    (good,) = shop.receive(*purchases(1))
    shop.work()
    outcomes = {one.id: one.status for one in DeliveryStore(shop.redis).newest()}
    assert outcomes == {unreadable: Became.FAILED, good: Became.GRANTED}
