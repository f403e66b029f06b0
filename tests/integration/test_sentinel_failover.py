"""A primary dies while webhooks arrive: sentinels promote its replica, and every order is credited once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from uuid import uuid4

import httpx
import pytest

from app.demo.polar import Polar, create_app
from app.receiver.signature import sign
from tests.support.builders import order_webhook, some_id
from tests.support.processes import SECRET, Credits, credits_in, eventually, some_polar
from tests.support.sentinels import GUARDED, TcpServer, Watched, watched_redis
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store.losses import LOST
from workers.timings import DEFAULT_TIMINGS

pytestmark = pytest.mark.heavy  # a fail-over takes its time

MOST_ORDERS = 20_000  # more than can be sent meanwhile
SENDERS = 4


@dataclass(kw_only=True)
class Sender:
    """Sends orders as Polar does: each again, under the same id, until it is answered 2xx."""

    url: str
    accepted: list[int] = field(default_factory=list)
    refused: int = 0
    stop: Event = field(default_factory=Event)

    def run(self, first: int) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            for order in range(first, MOST_ORDERS, SENDERS):
                if self.stop.is_set():
                    return
                self._deliver(client, order, str(uuid4()))

    def _deliver(self, client: httpx.Client, order: int, delivery_id: str) -> None:
        body = order_webhook(id=some_id(order))
        while True:
            headers = sign(SECRET, delivery_id, int(time.time()), body)
            status = client.post("/webhooks/polar", content=body, headers=headers).status_code
            if status == 202:
                self.accepted.append(order)
                return
            assert status == 503
            self.refused += 1
            time.sleep(0.1)


@contextmanager
def sending(url: str) -> Iterator[Sender]:
    """Send orders while the block runs; all that were begun are accepted when it has ended."""
    sender = Sender(url=url)
    with ThreadPoolExecutor(SENDERS) as pool:
        sent = [pool.submit(sender.run, first) for first in range(SENDERS)]
        try:
            yield sender
        finally:
            sender.stop.set()
    for one in sent:
        one.result()


def wait_for_more(sender: Sender, count: int = 50) -> None:
    most = len(sender.accepted) + count
    eventually(lambda: len(sender.accepted) >= most)


def killed(watched: Watched) -> TcpServer:
    """Kill the primary; return it once the sentinels have promoted its replica."""
    old = watched.primary()
    old.server.kill()
    eventually(lambda: watched.primary() is not old)
    return old


def test_every_order_is_credited_once_through_fail_overs(tmp_path: Path) -> None:
    polar = some_polar()
    with (
        watched_redis(tmp_path, *GUARDED) as watched,
        running(create_app(polar)) as polar_url,
    ):
        credits_ = credits_in(tmp_path, polar_url, REDIS_URL=watched.url())
        with credits_.running("serve") as serve, credits_.running("work", "--workers", "2") as work:
            with sending(serve.url()) as sender:
                for _ in range(2):
                    wait_for_more(sender)
                    refused = sender.refused
                    old = killed(watched)
                    old.server.start()  # as a supervisor would; it becomes the new one's replica
                    # Until it has loaded its copy, only the new primary has what was accepted.
                    eventually(watched.is_replicated)
                    wait_for_more(sender)
                    assert sender.refused > refused
            # What was in hand when a primary died is leased again once its lease has expired.
            wait_until_granted(credits_, sender)
        assert_all_credited_once(credits_, polar, sender)
        assert LOST not in serve.said + work.said


def wait_until_granted(credits_: Credits, sender: Sender) -> None:
    accepted = len(sender.accepted)
    with credits_.stores() as held:
        eventually(
            lambda: held.deliveries.count_by_status()[Status.GRANTED] == accepted,
            patience_seconds=60 + DEFAULT_TIMINGS.lease_seconds,
        )


def assert_all_credited_once(credits_: Credits, polar: Polar, sender: Sender) -> None:
    keys = sorted(str(one["external_id"]) for one in polar.events)
    assert keys == sorted(f"credits:order:{some_id(order)}:api_usage" for order in sender.accepted)
    with credits_.stores() as held:
        assert held.ledger.count_grants() == len(sender.accepted)
