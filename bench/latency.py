"""Measures the wait at low load: from the webhook's first byte to the request at Polar."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from random import Random
from statistics import median, quantiles

from bench.goals import Goals
from bench.harness import Harness, start_harness
from bench.load import send
from bench.orders import paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave

_OURS = "**credit-granter**"
_SIMPLE = "Starlette + RQ's SimpleWorker"
_FORKING = "Starlette + RQ's Worker (forks)"

_RATIO = "relative to ours"

_MOST_APART_SECONDS = 0.2  # at random times, so that they are not in step with any polling


def measure(*, quick: bool) -> Table:
    """Measure one webhook at a time, with all processes idle before it."""
    count, rounds = (5, 1) if quick else (30, 5)
    with start_harness() as harness, ExitStack() as stack:
        stack.enter_context(harness.workers())
        ours, _ = stack.enter_context(harness.receiver())
        contenders: dict[str, Callable[[], Sample]] = {_OURS: partial(_waits, harness, ours, count)}
        for name, kind in ((_SIMPLE, "rq.worker.SimpleWorker"), (_FORKING, "rq.worker.Worker")):
            queue = f"bench-{kind.rpartition('.')[2]}"
            stack.enter_context(harness.rq_worker(kind, queue))
            port, _ = stack.enter_context(harness.rival("rq_enqueue", BENCH_QUEUE=queue))
            contenders[name] = partial(_waits, harness, port, count)
        interleave(contenders, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _waits(harness: Harness, port: int, count: int) -> Sample:
    random = Random(count)  # noqa: S311 - nothing secret
    waits = sorted(_wait_ms(harness, port, random.random() * _MOST_APART_SECONDS) for _ in range(count))
    return {"median": median(waits), "p90": quantiles(waits, n=10)[-1]}


def _wait_ms(harness: Harness, port: int, idle_seconds: float) -> float:
    """Send one webhook; return the milliseconds until Polar got its request."""
    time.sleep(idle_seconds)
    before = harness.taken()["events"]
    requests = requests_with(paid_orders(1))
    begun = time.monotonic()
    send(port, requests, connections=1)
    return (harness.taken(least=int(before) + 1)["last_at"] - begun) * 1000


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="latency",
        header=["contender", "median ms", _RATIO, "p90 ms"],
        rows=[
            [
                name,
                figure(found.median(name, "median")),
                f"{found.ratio(name, _OURS, 'median'):.2f}",
                figure(found.median(name, "p90")),
            ]
            for name in names
        ],
        note="One webhook at a time, until its request reaches Polar; Polar's own time is not included.",
        goals=[Goals(column=_RATIO, rows={_SIMPLE: 1.0})],
    )
