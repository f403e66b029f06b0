"""When RQ's time limit strikes a worker that waits for Polar, it lives on and credits each order once.

The limit is three minutes, so the test sends the worker the limit's own signal instead of waiting for it.
The lease runs for its real time.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.demo.polar import Polar, Slow, create_app
from app.main import create_app as create_receiver
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Credits, credits_in, eventually, living, post, some_polar
from tests.support.servers import running
from workers.core.delivery import Status
from workers.timings import DEFAULT_TIMINGS

pytestmark = pytest.mark.heavy  # a lease must end in real time

NEVER_SECONDS = 3600.0  # longer than any test
ONE_LEASE_AND_MORE = DEFAULT_TIMINGS.deliveries_per_lease + 10


@pytest.fixture
def polar() -> Polar:
    return some_polar(*map(some_id, range(1, ONE_LEASE_AND_MORE + 1)))


@pytest.fixture
def credits_(polar: Polar, redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Credits]:
    with running(create_app(polar)) as polar_url:
        yield credits_in(tmp_path, polar_url, REDIS_URL=redis_url)


def receive(credits_: Credits, count: int) -> None:
    with running(create_receiver(credits_.read())) as url, httpx.Client(base_url=url) as client:
        for n in range(1, count + 1):
            post(client, order_webhook(id=some_id(n), customer_id=some_id(n)))


@pytest.mark.parametrize("count", [1, ONE_LEASE_AND_MORE], ids=["alone", "threads"])
def test_a_worker_that_polar_keeps_waiting_outlives_rqs_time_limit(
    polar: Polar, credits_: Credits, count: int
) -> None:
    receive(credits_, count)
    polar.faults.append(Slow(NEVER_SECONDS))
    with credits_.running("work") as work, credits_.stores() as held:
        worker = work.part("worker")
        eventually(lambda: not polar.faults)
        os.kill(worker, signal.SIGALRM)
        eventually(lambda: "JobTimeoutException" in work.said)
        eventually(
            lambda: held.deliveries.count_by_status()[Status.GRANTED] == count,
            patience_seconds=60 + DEFAULT_TIMINGS.lease_seconds,
        )
        assert living([worker])
    keys = sorted(event["external_id"] for event in polar.events)
    assert keys == sorted(f"credits:order:{some_id(n)}:api_usage" for n in range(1, count + 1))
