"""Sends prepared requests over open connections, and takes the latency of each."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import uvloop

_ACCEPTED = b"HTTP/1.1 202 "
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class LoadError(Exception):
    """A receiver did not answer 202, so its rate would mean nothing."""


@dataclass(kw_only=True, slots=True)
class LoadResult:
    """The duration of the whole load, and the sorted latencies of its requests."""

    seconds: float
    latencies_seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return how many requests were answered a second."""
        return len(self.latencies_seconds) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Return the latency within which ``percent`` of the requests were answered."""
        index = min(int(len(self.latencies_seconds) * percent / 100), len(self.latencies_seconds) - 1)
        return self.latencies_seconds[index] * 1000


def send(port: int, requests: Sequence[bytes], *, connections: int, host: str = "127.0.0.1") -> LoadResult:
    """Send all ``requests``. Each connection sends the next one when its last was answered 202.

    LoadError for any other answer.
    """
    return uvloop.run(_send((host, port), iter(requests), connections))


async def _send(address: tuple[str, int], requests: Iterator[bytes], connections: int) -> LoadResult:
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(connections)]
    latencies: list[float] = []
    opened = [
        await loop.create_connection(partial(_Connection, requests, latencies, end), *address) for end in ends
    ]
    begun = time.perf_counter()
    for _, connection in opened:
        connection.next()
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - begun
    for transport, _ in opened:
        transport.close()
    return LoadResult(seconds=seconds, latencies_seconds=sorted(latencies))


class _Connection(asyncio.Protocol):
    """Sends one request at a time until none are left."""

    def __init__(
        self, requests: Iterator[bytes], latencies: list[float], end: "asyncio.Future[None]"
    ) -> None:
        self._requests = requests
        self._latencies = latencies
        self._end = end
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def next(self) -> None:
        """Send the next request; finish if none is left."""
        request = next(self._requests, None)
        if request is None or self._transport is None:
            self._end.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Record the latency of each complete answer, and send the next request."""
        self._received += data
        head, found, body = self._received.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        if not head.startswith(_ACCEPTED):
            self._fail(head.partition(b"\r\n")[0].decode(errors="replace"))
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self._received = b""
        self.next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Fail if the receiver closed the connection early."""
        self._fail("the receiver closed the connection")

    def _fail(self, reason: str) -> None:
        if not self._end.done():
            self._end.set_exception(LoadError(reason))
