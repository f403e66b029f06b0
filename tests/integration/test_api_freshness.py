"""Fifty thousand customers are asked for in a minute: our share of Polar's rate limit is kept, and used."""

import asyncio
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.demo.polar import create_app
from tests.integration.test_api_customers import HEADERS, TOKEN
from tests.support.builders import some_id
from tests.support.polar_standin import TOKEN as POLAR_TOKEN
from tests.support.polar_standin import organization
from tests.support.processes import Credits, credits_in
from tests.support.recordings import recorded
from tests.support.servers import running

pytestmark = pytest.mark.heavy  # takes a minute

CUSTOMERS, CONNECTIONS, MINUTE_SECONDS = 50_000, 64, 60
SHARE = 300
POLAR_LIMIT = 500  # requests a minute, then it would answer 429
LONGEST_SECONDS = 15.0  # two for a place, and more while those before it wait for a request

Found = list[tuple[int, float]]


class Polar:
    """Answers for every customer, at once: the stand-in would need longer for so many."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._app = create_app(organization())
        (meter, *_) = recorded("meters")["body"]["items"]
        balance = {"meter_id": meter["id"], "consumed_units": -10, "credited_units": 0, "balance": 10}
        self._state = {"active_subscriptions": [], "active_meters": [balance]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.asked.append(time.monotonic())
            *_, customer_id, last = scope["path"].split("/")
            if last == "state":
                await JSONResponse({"id": customer_id, **self._state})(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def most_in_a_minute(self) -> int:
        """Return how many requests came in the minute in which most did."""
        return max(
            bisect(self.asked, begin + MINUTE_SECONDS) - number for number, begin in enumerate(self.asked)
        )


@pytest.fixture
def polar(redis: Redis) -> Polar:
    return Polar()


@pytest.fixture
def api(polar: Polar, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an API in a process of its own."""
    with running(polar) as polar_url:
        credits_: Credits = credits_in(
            tmp_path,
            polar_url,
            REDIS_URL=redis_url,
            POLAR_ACCESS_TOKEN=POLAR_TOKEN,
            CREDITS_API_TOKEN=TOKEN,
            CREDITS_API_PORT="0",
            CREDITS_POLAR_REQUESTS_PER_MINUTE=str(SHARE),
        )
        with credits_.running("api") as process:
            yield process.url()


async def ask_for_all(url: str) -> Found:
    """Ask for each customer once, evenly over a minute; return the status and the seconds of each answer."""
    begin = time.monotonic()
    numbers = iter(range(CUSTOMERS))
    found: Found = []

    async def ask_on_one_connection() -> None:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            await asyncio.sleep(begin + MINUTE_SECONDS * number / CUSTOMERS - time.monotonic())
            asked_at = time.monotonic()
            path = f"/v1/customers/{some_id(number)}/credits"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            found.append((int(head.split()[1]), time.monotonic() - asked_at))
        writer.close()

    await asyncio.gather(*(ask_on_one_connection() for _ in range(CONNECTIONS)))
    return found


@pytest.mark.timeout(300)
def test_fifty_thousand_customers_a_minute_cost_our_share_and_no_more(polar: Polar, api: str) -> None:
    found = asyncio.run(ask_for_all(api))
    statuses = Counter(status for status, _ in found)
    seconds = sorted(seconds for _, seconds in found)
    assert set(statuses) == {200, 503}
    assert statuses.total() == CUSTOMERS
    assert polar.most_in_a_minute() <= SHARE < POLAR_LIMIT
    assert statuses[200] >= SHARE // 4  # two requests each, and half of the burst is left to the workers
    assert seconds[len(seconds) // 2] < 0.1
    assert seconds[-1] < LONGEST_SECONDS
    # Who was read once has a balance from then on, with its time.
    first: Any = httpx.get(f"{api}/v1/customers/{some_id(0)}/credits", headers=HEADERS, timeout=30)
    assert (first.status_code, first.json()["meters"]["api_usage"]["source"]) == (200, "live")
