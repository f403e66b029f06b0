"""Measures several hosts on one Redis: how a drain scales, what Redis computes, whether our share is kept."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from bench.backlog import await_settled, release
from bench.fleet import Fleet, Receiver, send_to_all, start_fleet
from bench.goals import Goals
from bench.harness import POLAR_LATENCY_MS
from bench.load import send
from bench.orders import paid_orders, requests_with
from bench.redis_time import cpu_seconds, seconds_by_script
from bench.rounds import Rounds, Sample, Table, figure, interleave
from workers.store import keys

_RECEIVERS = ("receiver-1", "receiver-2")
_WORKERS = ("worker-1", "worker-2", "worker-3")
_UNLIMITED = 100_000
_SENT_AT_RELEASE = 2

_SHARE = 60  # the least that lets some minutes pass for a thousand orders, one by one
_A_SECOND = 10

_RATIO, _CPU = "relative to one", "Redis: µs per order"
_GOAL_US = 40


def measure(*, quick: bool) -> Table:
    """Send orders to two receivers, and drain them by one, two and three workers."""
    orders, rounds, share_seconds = (500, 1, 2) if quick else (10_000, 3, 90)
    with (
        start_fleet(*_RECEIVERS, *_WORKERS, polar_per_minute=_UNLIMITED, share=_UNLIMITED) as fleet,
        ExitStack() as stack,
    ):
        receivers = [stack.enter_context(fleet.receiver(name)) for name in _RECEIVERS]
        contenders = {
            str(count): partial(_credit, fleet, receivers, orders, _WORKERS[:count])
            for count in range(1, len(_WORKERS) + 1)
        }
        interleave(contenders, rounds=1)  # to warm up
        found = interleave(contenders, rounds=rounds)
        with fleet.harness.redis() as redis, seconds_by_script(redis) as scripts:
            _credit(fleet, receivers, orders, _WORKERS)
    return _table(found, list(contenders), scripts, orders, _keep_share(share_seconds))


def _credit(fleet: Fleet, receivers: Sequence[Receiver], orders: int, workers: Sequence[str]) -> Sample:
    """Accept a backlog while all workers pause, and let them drain it."""
    before = fleet.harness.taken()
    with fleet.harness.redis() as redis, ExitStack() as stack:
        redis.set(keys.PAUSE, "the bench fills the backlog")
        requests = requests_with(paid_orders(orders - _SENT_AT_RELEASE))
        begun_cpu = cpu_seconds(redis)
        send_to_all(receivers, requests)
        accepted_cpu = cpu_seconds(redis)
        for name in workers:
            stack.enter_context(fleet.worker(name))
        started_cpu = cpu_seconds(redis)
        begun = release(fleet.harness)
        seconds = await_settled(fleet.harness) - begun
        ended_cpu = cpu_seconds(redis)
    after = fleet.harness.taken()
    return {
        "rate": orders / seconds,
        "accepting": (accepted_cpu - begun_cpu) / orders * 1e6,
        "granting": (ended_cpu - started_cpu) / orders * 1e6,
        "cpu": (accepted_cpu - begun_cpu + ended_cpu - started_cpu) / orders * 1e6,
        "lost": orders - (after["events"] - before["events"]),
        "twice": after["duplicates"] - before["duplicates"],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """How a small share of the rate limit was kept by all workers together."""

    orders: int
    lost: int
    taken: Mapping[str, float]


def _keep_share(seconds: int) -> _Kept:
    """Send orders one by one, which would be a request each, at a Polar that allows just our share."""
    with (
        start_fleet(*_RECEIVERS, *_WORKERS, polar_per_minute=_SHARE, share=_SHARE) as fleet,
        ExitStack() as stack,
    ):
        receivers = cycle([stack.enter_context(fleet.receiver(name)) for name in _RECEIVERS])
        for name in _WORKERS:
            stack.enter_context(fleet.worker(name))
        orders = seconds * _A_SECOND
        begun = time.monotonic()
        for number, body in enumerate(paid_orders(orders)):
            time.sleep(max(0.0, begun + number / _A_SECOND - time.monotonic()))
            receiver = next(receivers)
            send(receiver.port, requests_with(iter([body])), connections=1, host=receiver.address)
        await_settled(fleet.harness)
        taken = fleet.harness.taken()
    return _Kept(orders=orders, lost=orders - int(taken["events"]), taken=taken)


def _table(found: Rounds, names: list[str], scripts: Mapping[str, float], orders: int, kept: _Kept) -> Table:
    return Table(
        subject="hosts",
        header=[
            "worker hosts",
            "grants/s",
            _RATIO,
            "Redis: µs to accept",
            "µs to grant",
            _CPU,
            "lost",
            "twice",
        ],
        rows=[
            [
                name,
                figure(found.median(name, "rate")),
                f"{found.ratio(name, '1', 'rate'):.2f}",
                figure(found.median(name, "accepting")),
                figure(found.median(name, "granting")),
                figure(found.median(name, "cpu")),
                f"{found.total(name, 'lost'):.0f}",
                f"{found.total(name, 'twice'):.0f}",
            ]
            for name in names
        ],
        note=f"{_note(scripts, orders)}\n\n{_note_of_share(kept)}",
        goals=[
            Goals(column=_RATIO, rows=dict.fromkeys(names[1:])),
            Goals(column=_CPU, rows=dict.fromkeys(names, _GOAL_US), is_lower_better=True, is_ratio=False),
        ],
    )


def _note(scripts: Mapping[str, float], orders: int) -> str:
    largest = sorted(scripts.items(), key=lambda one: -one[1])[:4]
    words = ", ".join(f"`{name}` {figure(seconds / orders * 1e6)}" for name, seconds in largest)
    return (
        "Two hosts with a receiver each; one worker on each worker host. "
        f"Polar answers after {POLAR_LATENCY_MS} ms. All hosts share the cores of one machine. "
        "Redis's time is the processor time of its whole process. "
        f"By the clock, the scripts take, in µs per order: {words}."
    )


def _note_of_share(kept: _Kept) -> str:
    return (
        f"Three workers at a Polar that allows {_SHARE} requests a minute, all of them our share, and "
        f"{kept.orders} orders, {_A_SECOND} a second: {kept.taken['requests']:.0f} requests, "
        f"{kept.taken['busiest_minute']:.0f} in the busiest minute, "
        f"{kept.taken['limited']:.0f} answered 429, {kept.lost} lost, "
        f"{kept.taken['duplicates']:.0f} sent twice."
    )
