"""Measures how many webhooks a second a receiver accepts, with which latency, and at which cost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.express import express_handler
from bench.goals import Goals
from bench.harness import Harness, cpu_seconds, start_harness
from bench.orders import ignored, paid_orders, requests_with
from bench.rounds import NotMeasuredError, Rounds, Sample, Table, figure, interleave
from bench.wrk import find_wrk, load

_CONNECTIONS = 64

_BARE = "bare Starlette route"
_SCRIPT = "Starlette, one script in Redis, nothing verified"
_OURS = "**credit-granter**"
_IGNORED = "**credit-granter**, an ignored type"
_TWO = "**credit-granter**, two receivers on one port"
_EXPRESS = "Express with `@polar-sh/express`: verified and parsed, nothing stored"
_RQ = "Starlette, verified, RQ's `enqueue` in the thread pool"

_RATIO, _P99 = "of the bare route", "p99 ms"

# How many webhooks are prepared for each second. A receiver that stores them needs new ones for each request.
_STORED, _QUEUED, _REPEATED = 20_000, 5_000, 500

Bodies = Callable[[int], Iterator[bytes]]


def measure(*, quick: bool) -> Table:
    """Measure all receivers under the same load."""
    find_wrk()
    seconds, rounds = (1, 1) if quick else (3, 5)
    with start_harness() as harness, ExitStack() as stack:
        contenders = _contenders(harness, stack, seconds)
        missing = _add_express(contenders, harness, stack, seconds)
        interleave(contenders, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders), missing)


def _contenders(harness: Harness, stack: ExitStack, seconds: int) -> dict[str, "_Contender"]:
    ours = stack.enter_context(harness.receiver())
    two = stack.enter_context(harness.receiver(count=2))
    bare, script, queue = (
        stack.enter_context(harness.rival(name)) for name in ("bare", "one_script", "rq_enqueue")
    )
    return {
        _BARE: _Contender(*bare, paid_orders, _REPEATED, seconds, may_repeat=True),
        _SCRIPT: _Contender(*script, paid_orders, _STORED, seconds),
        _OURS: _Contender(*ours, paid_orders, _STORED, seconds),
        _TWO: _Contender(*two, paid_orders, _STORED, seconds),
        _IGNORED: _Contender(*ours, ignored, _REPEATED, seconds, may_repeat=True),
        _RQ: _Contender(*queue, paid_orders, _QUEUED, seconds),
    }


def _add_express(
    contenders: dict[str, "_Contender"], harness: Harness, stack: ExitStack, seconds: int
) -> str:
    """Add Polar's handler for Node; return what the table says if it cannot run here."""
    try:
        handler = stack.enter_context(express_handler(harness))
    except NotMeasuredError as reason:
        return f" Without Polar's handler for Express: {reason}."
    contenders[_EXPRESS] = _Contender(*handler, paid_orders, _REPEATED, seconds, may_repeat=True)
    return ""


class _Contender:
    """A running receiver, and the webhooks that it is sent."""

    def __init__(
        self, port: int, pid: int, bodies: Bodies, a_second: int, seconds: int, *, may_repeat: bool = False
    ) -> None:
        self._port, self._pid, self._seconds = port, pid, seconds
        self._bodies, self._count, self._may_repeat = bodies, a_second * seconds, may_repeat

    def __call__(self) -> Sample:
        """Send webhooks, signed just before; return the figures."""
        requests = requests_with(self._bodies(self._count))
        before = cpu_seconds(self._pid)
        result = load(
            self._port,
            requests,
            connections=_CONNECTIONS,
            seconds=self._seconds,
            may_repeat=self._may_repeat,
        )
        return {
            "rate": result.rate,
            "p50": result.p50_ms,
            "p99": result.p99_ms,
            "cpu": (cpu_seconds(self._pid) - before) / result.answered * 1e6,
        }


def _table(found: Rounds, names: list[str], missing: str) -> Table:
    return Table(
        subject="receiver",
        header=["receiver", "webhooks/s", _RATIO, "p50 ms", _P99, "CPU, µs per webhook"],
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
        f"Redis writes to disk before it answers.{missing}",
        goals=[
            Goals(column=_RATIO, rows={_OURS: 0.30, _TWO: None, _IGNORED: None}),
            Goals(column=_P99, rows={_OURS: 20}, is_lower_better=True, is_ratio=False),
        ],
    )
