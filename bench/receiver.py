"""Measures how many webhooks a second a receiver accepts, with which latency, and at which cost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.harness import Harness, cpu_seconds, start_harness
from bench.load import send
from bench.orders import ignored, paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave

_CONNECTIONS = 64

_BARE = "bare Starlette route, h11"
_FAST = "bare Starlette route, httptools"
_SCRIPT = "Starlette, one script in Redis, nothing verified"
_OURS = "**credit-granter**"
_IGNORED = "**credit-granter**, an ignored type"
_RQ = "Starlette, verified, RQ's `enqueue` in the thread pool"

Bodies = Callable[[int], Iterator[bytes]]


def measure(*, quick: bool) -> Table:
    """Measure all receivers under the same load."""
    count, rounds = (200, 1) if quick else (4000, 5)
    with start_harness() as harness, ExitStack() as stack:
        contenders = _contenders(harness, stack, count)
        interleave({name: _reduced(one) for name, one in contenders.items()}, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _contenders(harness: Harness, stack: ExitStack, count: int) -> dict[str, "_Contender"]:
    ours = stack.enter_context(harness.receiver())
    return {
        _BARE: _Contender(*stack.enter_context(harness.rival("bare")), paid_orders, count),
        _FAST: _Contender(*stack.enter_context(harness.rival("bare", http="httptools")), paid_orders, count),
        _SCRIPT: _Contender(*stack.enter_context(harness.rival("one_script")), paid_orders, count),
        _OURS: _Contender(*ours, paid_orders, count),
        _IGNORED: _Contender(*ours, ignored, count),
        _RQ: _Contender(*stack.enter_context(harness.rival("rq_enqueue")), paid_orders, count // 2),
    }


class _Contender:
    """A running receiver, and the webhooks that it is sent."""

    def __init__(self, port: int, pid: int, bodies: Bodies, count: int) -> None:
        self._port, self._pid, self._bodies, self.count = port, pid, bodies, count

    def __call__(self) -> Sample:
        return self.measured(self.count)

    def measured(self, count: int) -> Sample:
        """Send ``count`` webhooks, signed just before; return the figures."""
        requests = requests_with(self._bodies(count))
        before = cpu_seconds(self._pid)
        result = send(self._port, requests, connections=_CONNECTIONS)
        return {
            "rate": result.rate,
            "p50": result.percentile_ms(50),
            "p99": result.percentile_ms(99),
            "cpu": (cpu_seconds(self._pid) - before) / count * 1e6,
        }


def _reduced(contender: _Contender) -> Callable[[], Sample]:
    return lambda: contender.measured(max(contender.count // 10, _CONNECTIONS))


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="receiver",
        header=["receiver", "webhooks/s", "of bare h11", "p50 ms", "p99 ms", "CPU, µs per webhook"],
        rows=[
            [
                name,
                figure(found.median(name, "rate")),
                f"{found.ratio(name, _BARE, 'rate'):.2f}",
                figure(found.median(name, "p50")),
                figure(found.median(name, "p99")),
                figure(found.median(name, "cpu")),
            ]
            for name in names
        ],
        note=f"{_CONNECTIONS} connections; each sends its next webhook when its last is answered. "
        "Redis writes to disk before it answers.",
    )
