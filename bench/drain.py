"""How fast a backlog becomes credit, and in how many requests."""

import time
from collections.abc import Callable

from rq import Queue

from bench.backlog import await_settled, fill, release
from bench.orders import paid_orders
from bench.rivals import grant, script
from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.stage import POLAR_LATENCY_MS, Stage, stage
from workers.timings import DEFAULT_TIMINGS

_SCRIPT = f"a script without a queue, {DEFAULT_TIMINGS.events_per_request} events a request"
_ONE = "**credit-granter**, one worker"
_TWO = "**credit-granter**, two workers"
_SIMPLE = "RQ's SimpleWorker, a job an order"
_FORKING = "RQ's Worker (forks), a job an order"


def measure(*, quick: bool) -> Table:
    """Measure all of them on the same orders."""
    orders, jobs, rounds = (1000, 10, 1) if quick else (20_000, 60, 5)
    with stage() as set_up:
        contenders: dict[str, Callable[[], Sample]] = {
            _SCRIPT: lambda: _by_script(set_up, orders),
            _ONE: lambda: _by_us(set_up, orders, workers=1),
            _TWO: lambda: _by_us(set_up, orders, workers=2),
            _SIMPLE: lambda: _by_rq(set_up, jobs, "rq.worker.SimpleWorker"),
            _FORKING: lambda: _by_rq(set_up, jobs, "rq.worker.Worker"),
        }
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _by_us(stage: Stage, orders: int, *, workers: int) -> Sample:
    before = stage.taken()
    with stage.redis() as redis:
        redis.flushall()  # else Redis would rewrite its file, of all rounds so far, in the midst of one
    fill(stage, orders)
    with stage.workers(workers):
        begun = release(stage)
        seconds = await_settled(stage) - begun
    return _sample(stage, before, orders, seconds)


def _by_script(stage: Stage, orders: int) -> Sample:
    before = stage.taken()
    bodies = list(paid_orders(orders))
    begun = time.monotonic()
    script(stage.polar_url, bodies, DEFAULT_TIMINGS.events_per_request)
    return _sample(stage, before, orders, time.monotonic() - begun)


def _by_rq(stage: Stage, orders: int, worker: str) -> Sample:
    before = stage.taken()
    queue_name = stage.environment["BENCH_QUEUE"]
    with stage.redis() as redis, stage.rq_worker(worker, queue_name):
        queue = Queue(queue_name, connection=redis)
        begun = time.monotonic()
        queue.enqueue_many([Queue.prepare_data(grant, (body.decode(),)) for body in paid_orders(orders)])
        stage.taken(least=int(before["events"]) + orders)
        return _sample(stage, before, orders, time.monotonic() - begun)


def _sample(stage: Stage, before: Sample, orders: int, seconds: float) -> Sample:
    after = stage.taken(least=int(before["events"]) + orders)
    return {"rate": orders / seconds, "batch": orders / (after["requests"] - before["requests"])}


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="drain",
        header=["who", "grants/s", "of the script", "grants a request"],
        rows=[
            [
                name,
                figure(found.median(name, "rate")),
                f"{found.ratio(name, _SCRIPT, 'rate'):.3f}",
                figure(found.median(name, "batch")),
            ]
            for name in names
        ],
        note=f"Polar answers after {POLAR_LATENCY_MS} ms; one meter an order. The script reads the same "
        "webhooks from memory, and keeps no ledger.",
    )
