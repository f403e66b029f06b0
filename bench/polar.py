"""A minimal, fast fake of Polar: ``python -m bench.polar PORT LATENCY_MS REQUESTS_PER_MINUTE [ADDRESS]``.

It answers after the latency, counts each ``external_id`` once, and answers 429 beyond its limit. It parses
no JSON and checks nothing; ``app.demo.polar`` is the stand-in that behaves like Polar.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from urllib.parse import parse_qs, urlsplit

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_EVENT = re.compile(rb'"external_id": ?"([^"]+)"')
_HEAD_END = b"\r\n\r\n"
_MINUTE_SECONDS = 60.0
_COUNTS = ("requests", "limited", "busiest_minute", "duplicates", "last_at")


class Ingested:
    """Counts the requests and events so far."""

    def __init__(self, latency_seconds: float, requests_per_minute: int) -> None:
        self._latency_seconds = latency_seconds
        self._limit = requests_per_minute
        self._recent: deque[float] = deque()
        self._events: set[bytes] = set()
        self._counts: dict[str, float] = dict.fromkeys(_COUNTS, 0.0)
        self._grown = asyncio.Condition()

    async def ingest(self, body: bytes) -> tuple[str, dict[str, float]]:
        """Count a batch's new events and its duplicates; return the answer."""
        now = time.monotonic()
        self._counts["requests"] += 1
        if self._is_over_limit(now):
            self._counts["limited"] += 1
            return "429 Too Many Requests\r\nretry-after: 60", {}
        self._counts["last_at"] = now
        await asyncio.sleep(self._latency_seconds)
        ids = _EVENT.findall(body)
        before = len(self._events)
        self._events.update(ids)
        inserted = len(self._events) - before
        self._counts["duplicates"] += len(ids) - inserted
        async with self._grown:
            self._grown.notify_all()
        return "200 OK", {"inserted": inserted, "duplicates": len(ids) - inserted}

    async def await_events(self, least: int) -> tuple[str, dict[str, float]]:
        """Return the counts once at least ``least`` events have been ingested."""
        async with self._grown:
            await self._grown.wait_for(lambda: len(self._events) >= least)
        return "200 OK", {**self._counts, "events": len(self._events)}

    def _is_over_limit(self, now: float) -> bool:
        while self._recent and self._recent[0] < now - _MINUTE_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            return True
        self._recent.append(now)
        self._counts["busiest_minute"] = max(self._counts["busiest_minute"], len(self._recent))
        return False


async def _serve(ingested: Ingested, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(_HEAD_END)
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            target = urlsplit(head.split(b" ", 2)[1].decode())
            if target.path == "/taken":
                status, answer = await ingested.await_events(int(parse_qs(target.query)["least"][0]))
            else:
                status, answer = await ingested.ingest(body)
            text = json.dumps(answer)
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _main(port: int, latency_ms: int, requests_per_minute: int, address: str = "127.0.0.1") -> None:
    ingested = Ingested(latency_ms / 1000, requests_per_minute)
    server = await asyncio.start_server(lambda *ends: _serve(ingested, *ends), address, port, limit=2**24)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
