"""How many webhooks a second a receiver takes, how late it answers, and what one costs it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.load import send
from bench.orders import ignored, paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.stage import Stage, cpu_seconds, stage

_CONNECTIONS = 64

_BARE = "bare Starlette route, h11"
_FAST = "bare Starlette route, httptools"
_SCRIPT = "Starlette, one script in Redis, nothing verified"
_OURS = "**credit-granter**"
_IGNORED = "**credit-granter**, a type that it ignores"
_RQ = "Starlette, verified, RQ's `enqueue` in the thread pool"

Bodies = Callable[[int], Iterator[bytes]]


def measure(*, quick: bool) -> Table:
    """Measure all receivers under the same load."""
    count, rounds = (200, 1) if quick else (4000, 5)
    with stage() as set_up, ExitStack() as stack:
        contenders = _contenders(set_up, stack, count)
        interleave({name: _reduced(one) for name, one in contenders.items()}, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders))


def _contenders(set_up: Stage, stack: ExitStack, count: int) -> dict[str, "_Contender"]:
    ours = stack.enter_context(set_up.receiver())
    return {
        _BARE: _Contender(*stack.enter_context(set_up.rival("bare")), paid_orders, count),
        _FAST: _Contender(*stack.enter_context(set_up.rival("bare", http="httptools")), paid_orders, count),
        _SCRIPT: _Contender(*stack.enter_context(set_up.rival("one_script")), paid_orders, count),
        _OURS: _Contender(*ours, paid_orders, count),
        _IGNORED: _Contender(*ours, ignored, count),
        _RQ: _Contender(*stack.enter_context(set_up.rival("rq_enqueue")), paid_orders, count // 2),
    }


class _Contender:
    """A receiver that runs, and what it is sent."""

    def __init__(self, port: int, pid: int, bodies: Bodies, count: int) -> None:
        self._port, self._pid, self._bodies, self.count = port, pid, bodies, count

    def __call__(self) -> Sample:
        return self.measured(self.count)

    def measured(self, count: int) -> Sample:
        """Send so many webhooks, signed just before."""
        requests = requests_with(self._bodies(count))
        before = cpu_seconds(self._pid)
        answered = send(self._port, requests, connections=_CONNECTIONS)
        return {
            "rate": answered.rate,
            "p50": answered.percentile_ms(50),
            "p99": answered.percentile_ms(99),
            "cpu": (cpu_seconds(self._pid) - before) / count * 1e6,
        }


def _reduced(contender: _Contender) -> Callable[[], Sample]:
    return lambda: contender.measured(max(contender.count // 10, _CONNECTIONS))


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="receiver",
        header=["receiver", "webhooks/s", "of bare h11", "p50 ms", "p99 ms", "its CPU, µs each"],
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
        note=f"{_CONNECTIONS} connections that send their next webhook when the last is answered; "
        "Redis writes to disk before it answers.",
    )
