"""Measures what credit events cost a drain, and how fast they are sent."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from redis import Redis

from bench.backlog import await_settled, fill, release
from bench.goals import Goals
from bench.harness import POLAR_LATENCY_MS, Harness, answers, cpu_seconds, free_port, start_harness
from bench.redis_time import cpu_seconds as redis_cpu_seconds
from bench.rounds import Rounds, Sample, Table, figure, interleave
from workers.store import keys

_OFF = "no credit events"
_WRITTEN = "credit events written, and not sent"
_SENT = "credit events sent at the same time"

_RATE, _CPU = "grants/s, relative", "CPU, relative"
_STOREFRONT_LATENCY_MS = 10
_UNLIMITED = 10_000_000  # requests a minute
_SECRET = "whsec_" + "b2YgdGhlIGJlbmNobWFyaywgYWxvbmU="
_POLL_SECONDS = 0.01


def measure(*, quick: bool) -> Table:
    """Measure the same drain without events, with an outbox alone, and with a sender beside it."""
    orders, rounds = (1000, 1) if quick else (5_000, 15)
    with start_harness() as harness, _storefront(harness) as url:
        contenders = {
            _OFF: lambda: _drain(harness, orders, _worker(harness)),
            _WRITTEN: lambda: _drain(harness, orders, _worker(harness, url)),
            _SENT: lambda: _drain(harness, orders, _worker(harness, url, is_sending=True)),
        }
        interleave(contenders, rounds=1)  # to warm up
        found = interleave(contenders, rounds=rounds)
        return _table(found, _send(harness, min(orders, 2_000), url))


@contextmanager
def _storefront(harness: Harness) -> Iterator[str]:
    """Run a storefront that takes every event; the fake of Polar answers any request."""
    url = f"http://127.0.0.1:{free_port()}"
    port = url.rpartition(":")[2]
    with harness.process("bench.polar", port, str(_STOREFRONT_LATENCY_MS), str(_UNLIMITED)) as process:
        harness.await_up(process, lambda: answers(f"{url}/taken?least=0"))
        yield f"{url}/credit-events"


def _telling(url: str) -> dict[str, str]:
    return {"CREDITS_EVENTS_URL": url, "CREDITS_EVENTS_SECRET": _SECRET} if url else {}


@contextmanager
def _worker(harness: Harness, url: str = "", *, is_sending: bool = False) -> Iterator[int]:
    """Run a worker, and a sender if it ``is_sending``; yield the worker's process id."""
    with ExitStack() as stack:
        if is_sending:
            stack.enter_context(harness.part("events", **_telling(url)))
        yield stack.enter_context(harness.part("worker", **_telling(url)))


def _drain(harness: Harness, orders: int, running: AbstractContextManager[int]) -> Sample:
    _empty(harness)
    fill(harness, orders)
    with running as pid, harness.redis() as redis:
        used = _cpu_seconds(redis, pid)
        begun = release(harness)
        seconds = await_settled(harness) - begun
        cpu = _cpu_seconds(redis, pid) - used
    return {"rate": orders / seconds, "cpu_us": cpu / orders * 1_000_000}


def _cpu_seconds(redis: Redis, worker: int) -> float:
    """Return the processor seconds that Redis and the worker have used."""
    return redis_cpu_seconds(redis) + cpu_seconds(worker)


def _send(harness: Harness, orders: int, url: str) -> float:
    """Return how many events a second a sender sends, after the drain."""
    _empty(harness)
    fill(harness, orders)
    with _worker(harness, url):
        release(harness)
        await_settled(harness)
    with harness.redis() as redis, harness.part("events", **_telling(url)):
        while not redis.exists(keys.OUTBOX_SENT):
            time.sleep(_POLL_SECONDS)
        begun, left = time.monotonic(), int(redis.zcard(keys.OUTBOX))
        while redis.exists(keys.OUTBOX):
            time.sleep(_POLL_SECONDS)
        return left / (time.monotonic() - begun)


def _empty(harness: Harness) -> None:
    with harness.redis() as redis:
        redis.flushall()  # else Redis would rewrite its file with all earlier rounds during this one


def _table(found: Rounds, sent: float) -> Table:
    return Table(
        subject="events",
        header=[
            "a drain by one worker, with",
            "grants/s",
            _RATE,
            "CPU, µs per grant",
            _CPU,
        ],
        rows=[
            [
                name,
                figure(found.median(name, "rate")),
                f"{found.ratio(name, _OFF, 'rate'):.3f}",
                figure(found.median(name, "cpu_us")),
                f"{found.ratio(name, _OFF, 'cpu_us'):.3f}",
            ]
            for name in (_OFF, _WRITTEN, _SENT)
        ],
        note=f"Polar answers after {POLAR_LATENCY_MS} ms, the storefront after {_STOREFRONT_LATENCY_MS} ms. "
        "CPU is that of the worker and of Redis together, whatever else uses the machine. "
        f"A sender alone sends {figure(sent)} events a second.",
        goals=[
            Goals(column=_RATE, rows={_WRITTEN: None, _SENT: None}),
            Goals(column=_CPU, rows={_WRITTEN: None, _SENT: None}, is_lower_better=True),
        ],
    )
