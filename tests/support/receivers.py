"""Talks to receivers: to one in memory, without socket and Redis, and to one that serves a URL."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from math import inf
from typing import Any, cast

import httpx
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route

from app.receiver.signature import Verifier, sign
from app.receiver.webhooks import WebhookEndpoint
from config.setting_fields import read_fields
from config.settings import Settings
from tests.support.recordings import payload
from workers.store import keys
from workers.store.arrivals import ArrivalNotes
from workers.store.bodies import decompress_body
from workers.store.counts import Tally
from workers.store.intake import Intake

SECRET = "whsec_testsecret-of-the-tests"
OPS_TOKEN = "ops_s3cret-of-the-tests"
PATH = "/webhooks/polar"
ID = "4dab40bf-0dfb-422e-9031-6ceec1795535"
PAID = payload("order_paid_purchase")

# Polar counts a webhook as failed if it is not answered by then.
POLAR_SECONDS = 10

RawHeaders = list[tuple[bytes, bytes]]


def signed(body: bytes, delivery_id: str = ID) -> dict[str, str]:
    return sign(SECRET, delivery_id, int(time.time()), body)


class MemoryRedis:
    """A fake of what intake uses of Redis: a script that stores each body under its key, once."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.fault: Exception | None = None
        self.faults_left = inf
        self.connection_pool = self
        self.connection_kwargs: dict[str, Any] = {}
        self.disconnected: list[str] = []
        self.ahead_seconds = 0
        self.held: Exception | None = None
        """Raised by ``disconnect``."""

    async def disconnect(self, *, inuse_connections: bool = True) -> None:
        """Record which of the pool's connections were dropped."""
        self.disconnected.append("all" if inuse_connections else "idle")
        if self.held:
            raise self.held

    def register_script(self, _source: str) -> "MemoryRedis":
        """Return this object as the script."""
        return self

    async def time(self) -> tuple[int, int]:
        """Return this host's time, which the server's clock is ahead of or behind."""
        if self.fault:
            raise self.fault
        return int(time.time() + self.ahead_seconds), 0

    async def __call__(self, *, keys: Sequence[str], args: Sequence[object]) -> list[bytes]:
        """Accept deliveries; the arguments are two prefixes, their number, then id, type and body of each."""
        if self.fault and self.faults_left:
            self.faults_left -= 1
            raise self.fault
        end = 3 + 3 * cast(int, args[2])
        return [self._accept(f"{args[0]}{args[i]}", cast(bytes, args[i + 2])) for i in range(3, end, 3)]

    def _accept(self, key: str, body: bytes) -> bytes:
        if key in self.stored:
            return b"duplicate"
        self.stored[key] = decompress_body(body)
        return b"accepted"


class Receiver:
    """A webhook endpoint with its fake Redis and its tally."""

    def __init__(self) -> None:
        self.redis = MemoryRedis()
        self.tally = Tally()
        self.notes = ArrivalNotes()
        self.endpoint = WebhookEndpoint(
            Verifier([SECRET]), Intake(cast(Redis, self.redis)), self.tally, notes=self.notes
        )
        self.app = Starlette(routes=[Route(PATH, self.endpoint, methods=["POST"])])

    def ask(
        self,
        method: str = "POST",
        *,
        headers: dict[str, str] | RawHeaders | None = None,
        content: bytes | AsyncIterator[bytes] = b"",
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, PATH, headers=headers, content=content)

        return asyncio.run(ask())

    def counted(self) -> dict[str, int]:
        """Return the counts since the last call."""
        with self.tally.flush() as counts:
            return dict(counts)

    def deliver(self, body: bytes, delivery_id: str = ID) -> httpx.Response:
        return self.ask(headers=signed(body, delivery_id), content=body)


def settings_for(url: str, **others: str) -> Settings:
    return read_fields(Settings, {"REDIS_URL": url, "POLAR_WEBHOOK_SECRET": SECRET, **others})


def deliver(url: str, body: bytes, delivery_id: str = "msg-1") -> httpx.Response:
    return httpx.post(url + PATH, content=body, headers=signed(body, delivery_id), timeout=POLAR_SECONDS)


def left_in(redis: SyncRedis) -> list[bytes]:
    """Return the keys in Redis, but those that a receiver writes every five seconds: its counts and notes."""
    return sorted(set(redis.scan_iter()) - {keys.COUNTS.encode(), keys.WEBHOOKS.encode()})


def disposition(url: str, body: bytes, delivery_id: str = "msg-1") -> str:
    answer = deliver(url, body, delivery_id)
    assert answer.status_code == 202
    assert answer.json()["delivery"] == delivery_id
    return str(answer.json()["disposition"])


def health(url: str, authorization: str | None = None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = httpx.get(url + "/healthz", headers=headers)
    assert answer.status_code == 503  # there is no worker in these tests
    return answer.json()
