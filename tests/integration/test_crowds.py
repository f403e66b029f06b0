"""Many connections at once: each that sends a webhook is answered, whatever strangers do meanwhile."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.support.processes import Running, credits_in
from tests.support.raw_http import post_with, wire_to
from tests.support.receivers import PAID, SECRET, deliver, signed
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore

pytestmark = pytest.mark.heavy  # opens thousands of connections

_POLARS_PATIENCE_SECONDS = 10
_MOST_MEGABYTES = 300

HALF = post_with(b"Content-Length: 100000", body=b"{" * 500)


@pytest.fixture
def serve(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Running]:
    """Yield a receiver in a process of its own."""
    credits_ = credits_in(tmp_path, "http://127.0.0.1:9", REDIS_URL=redis_url, POLAR_WEBHOOK_SECRET=SECRET)
    with credits_.running("serve") as running:
        running.url()
        yield running


def post_at_once(url: str, count: int) -> Counter[int | str]:
    """Send that many webhooks, each on a connection of its own, and count the answers by their status."""
    return asyncio.run(_post_all(url, [f"msg-{number}" for number in range(count)]))


async def _post_all(url: str, ids: Sequence[str]) -> Counter[int | str]:
    return Counter(await asyncio.gather(*(_post(url, id_) for id_ in ids)))


async def _post(url: str, delivery_id: str) -> int | str:
    parts = urlsplit(url)
    lines = [f"{name}: {value}".encode() for name, value in signed(PAID, delivery_id).items()]
    request = post_with(*lines, b"Content-Length: %d" % len(PAID), body=PAID)
    try:
        async with asyncio.timeout(_POLARS_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(request)
            answer = await reader.readline()
            writer.close()
    except OSError as error:  # TimeoutError is one
        return type(error).__name__
    return int(answer.split()[1]) if answer else "closed without an answer"


def megabytes_at_most(pid: int) -> float:
    """Return the most memory that a process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


@contextmanager
def strangers(url: str, count: int, sending: bytes) -> Iterator[None]:
    """Hold connections open that never finish their request."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(wire_to(url)).sendall(sending)
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's memory")
@pytest.mark.parametrize("count", [600, 2000])
def test_all_webhooks_that_come_at_once_are_stored_in_bounded_memory(
    serve: Running, redis: Redis, count: int
) -> None:
    assert post_at_once(serve.url(), count) == {202: count}
    assert DeliveryStore(redis).count_by_status()[Status.WAITING] == count
    assert megabytes_at_most(serve.pid) < _MOST_MEGABYTES


def test_the_log_says_that_connections_wait_in_a_line_or_two(serve: Running) -> None:
    post_at_once(serve.url(), 600)
    lines = [line for line in serve.said.splitlines() if "connections wait" in line]
    assert 1 <= len(lines) <= 3
    assert '"read_at_once":"250"' in lines[0]


@pytest.mark.parametrize("sending", [b"", b"POST /webh", HALF], ids=["nothing", "half a line", "half a body"])
def test_strangers_who_hold_every_place_keep_polar_out_for_a_moment_at_most(
    serve: Running, sending: bytes
) -> None:
    with strangers(serve.url(), 1000, sending):
        assert post_at_once(serve.url(), 300) == {202: 300}
        assert deliver(serve.url(), PAID, "msg-after").status_code == 202


def test_silent_connections_come_back_to_be_read(redis: Redis, serve: Running) -> None:
    """A stranger who opened many connections and was slow is served as well, while there is time."""
    url = serve.url()
    with wire_to(url) as first, strangers(url, 400, b""):
        first.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in first.recv(1000)
