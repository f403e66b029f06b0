"""Measures how fast a backlog becomes credit, in how many requests, and how much processor time it takes."""

import time
from collections.abc import Callable

from rq import Queue

from bench.backlog import await_settled, fill, release
from bench.goals import Goals
from bench.harness import POLAR_LATENCY_MS, Harness, cpu_seconds, start_harness
from bench.orders import paid_orders
from bench.redis_time import cpu_seconds as redis_cpu_seconds
from bench.rivals import grant, script
from bench.rounds import Rounds, Sample, Table, figure, interleave
from workers.timings import DEFAULT_TIMINGS

_SCRIPT = f"script without a queue, {DEFAULT_TIMINGS.events_per_request} events per request"
_ONE = "**credit-granter**, one worker"
_TWO = "**credit-granter**, two workers"
_SIMPLE = "RQ's SimpleWorker, one job per order"
_FORKING = "RQ's Worker (forks), one job per order"
_WITH_CPU = (_SCRIPT, _ONE, _TWO)
_CPU = ("cpu_us", "redis_us")

_RATIO = "relative to the script"


def measure(*, quick: bool) -> Table:
    """Measure all contenders on the same orders."""
    orders, jobs, rounds = (1000, 10, 1) if quick else (20_000, 60, 5)
    with start_harness() as harness:
        contenders: dict[str, Callable[[], Sample]] = {
            _SCRIPT: lambda: _by_script(harness, orders),
            _ONE: lambda: _by_us(harness, orders, workers=1),
            _TWO: lambda: _by_us(harness, orders, workers=2),
            _SIMPLE: lambda: _by_rq(harness, jobs, "rq.worker.SimpleWorker"),
            _FORKING: lambda: _by_rq(harness, jobs, "rq.worker.Worker"),
        }
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _by_us(harness: Harness, orders: int, *, workers: int) -> Sample:
    before = harness.taken()
    with harness.redis() as redis:
        redis.flushall()  # else Redis would rewrite its file with all earlier rounds during this one
    fill(harness, orders)
    with harness.workers(workers) as pid, harness.redis() as redis:
        used, used_by_redis = cpu_seconds(pid), redis_cpu_seconds(redis)
        begun = release(harness)
        seconds = await_settled(harness) - begun
        used, used_by_redis = cpu_seconds(pid) - used, redis_cpu_seconds(redis) - used_by_redis
    return {**_sample(harness, before, orders, seconds), **_cpu(orders, used, used_by_redis)}


def _by_script(harness: Harness, orders: int) -> Sample:
    before = harness.taken()
    bodies = list(paid_orders(orders))
    begun, used = time.monotonic(), time.process_time()
    script(harness.polar_url, bodies, DEFAULT_TIMINGS.events_per_request)
    seconds, used = time.monotonic() - begun, time.process_time() - used
    return {**_sample(harness, before, orders, seconds), **_cpu(orders, used)}


def _by_rq(harness: Harness, orders: int, worker: str) -> Sample:
    before = harness.taken()
    queue_name = harness.environment["BENCH_QUEUE"]
    with harness.redis() as redis, harness.rq_worker(worker, queue_name):
        queue = Queue(queue_name, connection=redis)
        begun = time.monotonic()
        queue.enqueue_many([Queue.prepare_data(grant, (body.decode(),)) for body in paid_orders(orders)])
        harness.taken(least=int(before["events"]) + orders)
        return _sample(harness, before, orders, time.monotonic() - begun)


def _sample(harness: Harness, before: Sample, orders: int, seconds: float) -> Sample:
    after = harness.taken(least=int(before["events"]) + orders)
    return {"rate": orders / seconds, "batch": orders / (after["requests"] - before["requests"])}


def _cpu(orders: int, seconds: float, redis_seconds: float = 0.0) -> Sample:
    return {"cpu_us": seconds / orders * 1_000_000, "redis_us": redis_seconds / orders * 1_000_000}


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="drain",
        header=[
            "contender",
            "grants/s",
            _RATIO,
            "grants per request",
            "CPU, µs per grant",
            "Redis, µs per grant",
        ],
        rows=[
            [
                name,
                figure(found.median(name, "rate")),
                f"{found.ratio(name, _SCRIPT, 'rate'):.3f}",
                figure(found.median(name, "batch")),
                *([figure(found.median(name, one)) for one in _CPU] if name in _WITH_CPU else ["", ""]),
            ]
            for name in names
        ],
        note=f"Polar answers after {POLAR_LATENCY_MS} ms; one meter per order. The script reads the same "
        "webhooks from memory and keeps no ledger. CPU is that of the script, or of `credits work` with all "
        "its processes; that of Redis stands beside it.",
        goals=[Goals(column=_RATIO, rows={_ONE: 0.90, _TWO: 1.5})],
    )
