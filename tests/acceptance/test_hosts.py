"""Several hosts on one Redis: one is cut off and a receiver is killed, and every order is credited once."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import httpx
import pytest

from app.receiver.signature import sign
from bench.backlog import await_settled, fill, release
from bench.fleet import Fleet, Receiver, start_fleet
from bench.orders import PATH, SECRET, paid_orders
from bench.rounds import NotMeasuredError
from workers.core.delivery import Status
from workers.store import keys

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]  # a lease must end in real time

UNLIMITED = 100_000
BACKLOG, STREAM, LATER = 3000, 200, 20
ONE_LEASE = 500


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Yield two hosts for receivers and three for workers, where this machine has network namespaces."""
    names = ("receiver-1", "receiver-2", "worker-1", "worker-2", "worker-3")
    with ExitStack() as stack:
        try:
            started = stack.enter_context(start_fleet(*names, polar_per_minute=UNLIMITED, share=UNLIMITED))
        except NotMeasuredError as reason:
            pytest.skip(str(reason))
        yield started


def send_as_polar(
    receivers: Sequence[Receiver], count: int, before: Callable[[int], None] = lambda _: None
) -> None:
    """Send orders, eight at a time, each again until a receiver takes it; ``before`` is told its number."""

    def deliver(number: int, body: bytes) -> None:
        before(number)
        delivery_id = str(uuid4())
        for attempt in range(20):
            receiver = receivers[(number + attempt) % len(receivers)]
            headers = sign(SECRET, delivery_id, int(time.time()), body)
            try:
                answer = client.post(
                    f"http://{receiver.address}:{receiver.port}{PATH}", content=body, headers=headers
                )
            except httpx.TransportError:
                continue
            assert answer.status_code == 202
            return
        raise AssertionError("no receiver took the webhook")

    with httpx.Client(trust_env=False, timeout=30) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, range(count), paid_orders(count)))


def test_nothing_is_lost_or_doubled_when_a_worker_is_cut_off_and_a_receiver_is_killed(fleet: Fleet) -> None:
    harness, cut_off = fleet.harness, fleet.hosts["worker-1"]
    with harness.redis() as redis, ExitStack() as stack:
        receivers = [stack.enter_context(fleet.receiver(name)) for name in ("receiver-1", "receiver-2")]
        fill(harness, BACKLOG)
        stack.enter_context(fleet.worker("worker-1"))
        release(harness)
        harness.taken(least=ONE_LEASE)
        cut_off.cut()
        assert redis.zcount(keys.DUE, (time.time() + 1) * 1000, "+inf") > 0  # it still holds a lease

        with fleet.worker("worker-2"), fleet.worker("worker-3"):
            send_as_polar(
                receivers,
                STREAM,
                lambda number: os.kill(receivers[0].pid, signal.SIGKILL) if number == STREAM // 2 else None,
            )
            await_settled(harness)
        assert harness.taken()["events"] == BACKLOG + STREAM

        cut_off.mend()
        send_as_polar(receivers[1:], LATER)  # only the host that was cut off is left to credit them
        await_settled(harness)
        assert harness.taken()["events"] == BACKLOG + STREAM + LATER
        assert redis.zcard(keys.deliveries(Status.GRANTED)) == BACKLOG + STREAM + LATER
