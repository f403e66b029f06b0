"""Measures how long a webhook takes while the storefront API, another process, is under load."""

import os
from contextlib import ExitStack
from uuid import uuid4

from bench.beside import asked_meanwhile
from bench.goals import Goals
from bench.harness import API_TOKEN, start_harness
from bench.load import send
from bench.orders import paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.wrk import find_wrk

_CONNECTIONS = 64
_GOAL, _GOAL_ON_TWO_CORES = 1.5, 2.0

_ALONE = "none"
_UNKNOWN = "a path that is answered 404"
_ORDERS = "`/v1/orders/{id}`"
_BOTH = "both in turn"

_RATIO = "times as long"


def measure(*, quick: bool) -> Table:
    """Measure webhooks, one at a time, with and without load on the API."""
    find_wrk()
    count, rounds = (50, 1) if quick else (1000, 5)
    with start_harness() as harness, ExitStack() as stack:
        port, _ = stack.enter_context(harness.receiver())
        api, _ = stack.enter_context(harness.api())
        unknown, order = "/v1/nothing", f"/v1/orders/{uuid4()}"
        loads = {_ALONE: [], _UNKNOWN: [unknown], _ORDERS: [order], _BOTH: [unknown, order]}
        contenders = {name: _Contender(port, api, paths, count) for name, paths in loads.items()}
        interleave(contenders, rounds=1)  # to warm up
        return _table(interleave(contenders, rounds=rounds), list(contenders))


class _Contender:
    """A running receiver, and what the API beside it is asked meanwhile."""

    def __init__(self, port: int, api: int, paths: list[str], count: int) -> None:
        self._port, self._api, self._paths, self._count = port, api, paths, count

    def __call__(self) -> Sample:
        """Send webhooks one after the other; return the figures."""
        requests = requests_with(paid_orders(self._count))
        header = f"Authorization: Bearer {API_TOKEN}"
        with asked_meanwhile(self._api, self._paths, connections=_CONNECTIONS, header=header) as measured:
            result = send(self._port, requests, connections=1)
        answered, seconds = measured or [0, 1]
        return {
            "p50": result.percentile_ms(50),
            "p99": result.percentile_ms(99),
            "api_requests": answered,
            "api_rate": answered / seconds,
        }


def _table(found: Rounds, names: list[str]) -> Table:
    goal = _GOAL_ON_TWO_CORES if (os.cpu_count() or 1) <= 2 else _GOAL  # noqa: PLR2004 - two cores
    return Table(
        subject="api",
        header=[
            "load on the API",
            "median ms",
            _RATIO,
            "p99 ms",
            "API requests",
            "a second",
        ],
        rows=[
            [
                name,
                figure(found.median(name, "p50")),
                f"{found.ratio(name, _ALONE, 'p50'):.2f}",
                figure(found.median(name, "p99")),
                figure(found.median(name, "api_requests")) if name != _ALONE else "",
                figure(found.median(name, "api_rate")) if name != _ALONE else "",
            ]
            for name in names
        ],
        note=f"One webhook at a time, until it is stored. {_CONNECTIONS} connections load the API meanwhile; "
        "each sends its next request when its last is answered. All processes share the cores.",
        goals=[Goals(column=_RATIO, rows=dict.fromkeys(names[1:], goal), is_lower_better=True)],
    )
