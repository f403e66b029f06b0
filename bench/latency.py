"""How long a customer waits at low load: from the webhook's first byte to the request at Polar."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from random import Random
from statistics import median, quantiles

from bench.load import send
from bench.orders import paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.stage import Stage, stage

_OURS = "**credit-granter**"
_SIMPLE = "Starlette + RQ's SimpleWorker"
_FORKING = "Starlette + RQ's Worker (forks)"

_MOST_APART_SECONDS = 0.2  # webhooks come at odd times, not in step with whoever polls


def measure(*, quick: bool) -> Table:
    """Measure one webhook at a time, all parts being idle before."""
    count, rounds = (5, 1) if quick else (30, 5)
    with stage() as set_up, ExitStack() as stack:
        stack.enter_context(set_up.workers())
        ours, _ = stack.enter_context(set_up.receiver())
        contenders: dict[str, Callable[[], Sample]] = {_OURS: partial(_waits, set_up, ours, count)}
        for name, kind in ((_SIMPLE, "rq.worker.SimpleWorker"), (_FORKING, "rq.worker.Worker")):
            queue = f"bench-{kind.rpartition('.')[2]}"
            stack.enter_context(set_up.rq_worker(kind, queue))
            port, _ = stack.enter_context(set_up.rival("rq_enqueue", BENCH_QUEUE=queue))
            contenders[name] = partial(_waits, set_up, port, count)
        interleave(contenders, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _waits(stage: Stage, port: int, count: int) -> Sample:
    random = Random(count)  # noqa: S311 - nothing secret
    waits = sorted(_wait_ms(stage, port, random.random() * _MOST_APART_SECONDS) for _ in range(count))
    return {"median": median(waits), "p90": quantiles(waits, n=10)[-1]}


def _wait_ms(stage: Stage, port: int, idle_seconds: float) -> float:
    """Send one webhook; return how long it took to come to Polar."""
    time.sleep(idle_seconds)
    before = stage.taken()["events"]
    requests = requests_with(paid_orders(1))
    begun = time.monotonic()
    send(port, requests, connections=1)
    return (stage.taken(least=int(before) + 1)["last_at"] - begun) * 1000


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="latency",
        header=["who", "median ms", "of ours", "p90 ms"],
        rows=[
            [
                name,
                figure(found.median(name, "median")),
                f"{found.ratio(name, _OURS, 'median'):.1f}",
                figure(found.median(name, "p90")),
            ]
            for name in names
        ],
        note="One webhook at a time, to when Polar has the request; Polar's own time comes after it.",
    )
