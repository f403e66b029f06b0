"""Crowds of hostile clients of the storefront API: a right request is still answered, in bounded memory."""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from tests.support.builders import ORDER, some_id
from tests.support.processes import eventually
from tests.support.storefronts import API_TOKEN, HEADERS, Storefront, storefront

pytestmark = [
    pytest.mark.heavy,  # opens thousands of connections
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's memory"),
]

GUESSES, GUESSERS = 10_000, 500
WAITERS = 1200
MOST_MEGABYTES = 300  # at any time
MOST_GROWN_MEGABYTES = 60  # afterwards
PATIENCE_SECONDS = 60

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def shop(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storefront]:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    with storefront(tmp_path_factory.mktemp("shop"), redis_url) as shop:
        yield shop


def megabytes(shop: Storefront, field: str) -> float:
    """Return how much memory the API's process has (VmRSS), or the most that it ever had (VmHWM)."""
    status = Path(f"/proc/{shop.up.part('api')}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@pytest.fixture(autouse=True)
def bounded(shop: Storefront) -> Iterator[None]:
    """Check that a crowd leaves little behind: no memory, and only a few lines in the log."""
    before, lines = megabytes(shop, "VmRSS"), len(shop.up.said.splitlines())
    yield
    eventually(lambda: megabytes(shop, "VmRSS") < before + MOST_GROWN_MEGABYTES)
    assert megabytes(shop, "VmHWM") < MOST_MEGABYTES
    assert len(shop.up.said.splitlines()) < lines + 50
    assert "Traceback" not in shop.up.said


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", body]).encode()


def asked(path: str, token: str = API_TOKEN) -> bytes:
    return request(f"GET {path}", f"Authorization: Bearer {token}")


async def connect(url: str, **options: int) -> Stream:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port, **options)


async def ask(stream: Stream, sent: bytes) -> int | str:
    """Send one request; return the status of its answer."""
    reader, writer = stream
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
    except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
        return type(error).__name__
    return int(head.split()[1])


@asynccontextmanager
async def crowd(url: str, count: int, sending: bytes = b"") -> AsyncIterator[list[Stream]]:
    """Open that many connections, and send the same on each."""
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(count):
            streams.append(await connect(url, limit=2**12))
            stack.callback(streams[-1][1].close)
            streams[-1][1].write(sending)
        yield streams


async def right_requests(shop: Storefront, until: asyncio.Event) -> list[float]:
    """Ask rightly again and again; return how long each answer took. All must be right."""
    took = []
    async with httpx.AsyncClient(base_url=shop.url, headers=HEADERS, timeout=PATIENCE_SECONDS) as client:
        while not until.is_set():
            begin = time.monotonic()
            answer = await client.get(f"/v1/orders/{ORDER}")
            took.append(time.monotonic() - begin)
            assert (answer.status_code, answer.json()["credits"]) == (200, {"api_usage": 100})
            await asyncio.sleep(0.05)
    return took


@asynccontextmanager
async def while_others_are_served(shop: Storefront, within: float) -> AsyncIterator[None]:
    """Check that right requests are answered in time while the block runs."""
    until = asyncio.Event()
    asking = asyncio.create_task(right_requests(shop, until))
    try:
        yield
    finally:
        until.set()
    took = await asking
    assert max(took) < within


def test_ten_thousand_guesses_take_long_and_slow_nobody_else_down(shop: Storefront) -> None:
    guesses = iter([f"guess_{uuid4().hex}" for _ in range(GUESSES)])

    async def guess(count: Counter[int | str]) -> None:
        stream = await connect(shop.url)
        for token in guesses:
            count[await ask(stream, asked(f"/v1/orders/{ORDER}", token))] += 1
        stream[1].close()

    async def attack() -> Counter[int | str]:
        count: Counter[int | str] = Counter()
        async with while_others_are_served(shop, within=8):
            await asyncio.gather(*(guess(count) for _ in range(GUESSERS)))
        return count

    begin = time.monotonic()
    assert asyncio.run(attack()) == {401: GUESSES}
    assert GUESSES / GUESSERS <= time.monotonic() - begin < PATIENCE_SECONDS
    assert "guess_" not in shop.up.said


def test_more_guessers_than_connections_do_not_keep_the_shop_out(shop: Storefront) -> None:
    async def attack() -> Counter[int | str]:
        async with crowd(shop.url, 2000) as streams, while_others_are_served(shop, within=10):
            asking = (ask(one, asked(f"/v1/orders/{ORDER}", "x" * 20)) for one in streams)
            return Counter(await asyncio.gather(*asking))

    found = asyncio.run(attack())
    assert found[401] > 1000


def test_a_thousand_wait_and_who_comes_after_them_is_answered_at_once(shop: Storefront) -> None:
    async def wait_for_nothing() -> tuple[Counter[int | str], list[float]]:
        async def wait(stream: Stream, number: int) -> tuple[int | str, float]:
            begin = time.monotonic()
            status = await ask(stream, asked(f"/v1/orders/{some_id(1000 + number)}?wait=10"))
            return status, time.monotonic() - begin

        async with crowd(shop.url, WAITERS) as streams, while_others_are_served(shop, within=8):
            found = await asyncio.gather(*(wait(one, number) for number, one in enumerate(streams)))
        return Counter(status for status, _ in found), sorted(seconds for _, seconds in found)

    statuses, seconds = asyncio.run(wait_for_nothing())
    assert statuses == {200: WAITERS}
    assert sum(one < 9 for one in seconds) == WAITERS - 1000
    assert seconds[-1] < 15


@pytest.mark.parametrize(
    "sending",
    [b"", b"GET /v1/or", request("POST /v1/offers/a", "Content-Length: 4000", body="{")],
    ids=["nothing", "half a line", "half a body"],
)
def test_thousands_who_send_half_a_request_delay_nobody_for_long(shop: Storefront, sending: bytes) -> None:
    async def attack() -> None:
        async with crowd(shop.url, 2000, sending), while_others_are_served(shop, within=5):
            await asyncio.sleep(3)

    asyncio.run(attack())


def test_thousands_who_drip_a_header_delay_nobody_for_long(shop: Storefront) -> None:
    async def attack() -> None:
        begun = crowd(shop.url, 1000, b"GET / HTTP/1.1\r\n")
        async with begun as streams, while_others_are_served(shop, within=5):
            for number in range(10):
                for _, writer in streams:
                    writer.write(b"X-%d: y\r\n" % number)
                await asyncio.sleep(0.5)

    asyncio.run(attack())


def test_hundreds_who_do_not_read_their_answers_delay_nobody(shop: Storefront) -> None:
    async def attack() -> None:
        async with crowd(shop.url, 500, asked("/v1/openapi.json")) as streams:
            for reader, _ in streams:
                reader._transport.pause_reading()  # type: ignore[attr-defined]
            async with while_others_are_served(shop, within=8):
                await asyncio.sleep(5)

    asyncio.run(attack())


def test_bodies_without_end_take_no_memory(shop: Storefront) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    token = f"Authorization: Bearer {API_TOKEN}"
    head = request("POST /v1/offers/referral", token, "Transfer-Encoding: chunked")

    async def pour() -> None:
        _, writer = await connect(shop.url)
        with suppress(OSError):  # the API closes the connection
            writer.write(head)
            for _ in range(100):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def attack() -> None:
        async with while_others_are_served(shop, within=10):
            await asyncio.gather(*(pour() for _ in range(100)))

    asyncio.run(attack())
