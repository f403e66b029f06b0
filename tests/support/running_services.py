"""A running ``credits up`` on a Redis that a test may take away."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.demo.polar import Polar, create_app
from app.receiver.signature import sign
from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.processes import SECRET, Credits, Running, credits_in, eventually, some_polar
from tests.support.redis_servers import Server
from tests.support.servers import running

POLAR_SECONDS = 10  # Polar's timeout
AWAY, BACK = "Redis is away: waiting for it", "Redis is back"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running ``credits up``, and the Polar that it talks to."""

    up: Running
    url: str
    polar: Polar
    credits: Credits

    def deliver(self, order_number: int) -> int:
        """Deliver a paid order once, as Polar does; return the answer's status."""
        return self.send(f"msg-{order_number}", order_webhook(id=some_id(order_number)))

    def send(self, delivery_id: str, body: bytes) -> int:
        """Deliver any body with a valid signature; return the answer's status."""
        headers = sign(SECRET, delivery_id, int(time.time()), body)
        url = f"{self.url}/webhooks/polar"
        return httpx.post(url, content=body, headers=headers, timeout=POLAR_SECONDS).status_code

    def is_credited_for(self, order_number: int) -> None:
        """Deliver until it is accepted; return when Polar has the credit."""
        eventually(lambda: self.deliver(order_number) == 202)
        eventually(lambda: self.keys().count(f"credits:order:{some_id(order_number)}:api_usage") == 1)

    def keys(self) -> list[str]:
        """Return the keys of the credits that Polar has."""
        return [event["external_id"] for event in self.polar.events]

    def balance(self) -> float:
        """Return the usual customer's balance at Polar."""
        return float(self.polar.balance(CUSTOMER, "api_usage"))

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of this event."""
        whole_lines = self.up.said.rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole_lines if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def waits(self) -> bool:
        """Return whether its worker knows that Redis is down."""
        return len(self.said(AWAY)) > len(self.said(BACK))


@contextmanager
def service_on(redis_url: str, folder: Path) -> Iterator[Service]:
    """Run ``credits up`` while the block runs; none of its processes may die or print a traceback."""
    polar = some_polar()
    with running(create_app(polar)) as polar_url:
        credits_ = credits_in(folder, polar_url, REDIS_URL=redis_url)
        with credits_.running("up") as up:
            yield Service(up=up, url=up.url(), polar=polar, credits=credits_)
        assert "Traceback" not in up.said
        assert "died" not in up.said


@contextmanager
def demoted(server: Server) -> Iterator[None]:
    """Let the server be a replica while the block runs."""
    with server.client() as redis:
        redis.replicaof("127.0.0.1", 1)  # nothing listens there, so nothing is ever copied
        yield
        redis.replicaof("NO", "ONE")
