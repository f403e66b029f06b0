"""Measures how long the desk's pages take at a million grants, and what reloading them costs webhooks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median, quantiles

from bench.beside import asked_meanwhile
from bench.desk_data import Shop, fill_shop
from bench.desk_operators import DESK_TOKEN, Reader, log_in
from bench.goals import Goals
from bench.harness import Harness, answers, cpu_seconds, free_port, start_harness
from bench.load import send
from bench.orders import paid_orders, requests_with
from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.wrk import find_wrk

_MEDIAN = "median ms"
_BARE = "bare Starlette page"
_GOAL_MS = 100
_PEOPLE = 10
_P99_GOAL = 1.5
_ALONE, _RELOADING, _WITHOUT_PAUSE = "alone", "reloading", "without a pause"
_PAUSES_MS = {_RELOADING: 1000, _WITHOUT_PAUSE: 0}


def measure(*, quick: bool) -> Table:
    """Measure every page in turn, then webhooks while ten people reload the pages."""
    find_wrk()
    sizes = {"grants": 2_000, "crowd": 1_000, "failed": 20}
    if not quick:
        sizes = {"grants": 1_000_000, "crowd": 100_000, "failed": 1_000}
    times, rounds, webhooks = (2, 1, 50) if quick else (20, 5, 1000)
    with start_harness() as harness, ExitStack() as stack:
        shop = fill_shop(harness, **sizes)
        receiver, _ = stack.enter_context(harness.receiver())
        desk, desk_pid = stack.enter_context(_desk(harness, shop))
        bare, bare_pid = stack.enter_context(harness.rival("page"))
        redis_pid = _redis_pid(harness)
        cookie = log_in(desk)
        pages = pages_of(shop, sizes["crowd"])
        readers = {
            name: _reading(desk, cookie, path, times, [desk_pid, redis_pid]) for name, path in pages.items()
        }
        readers[_BARE] = _reading(bare, "", "/page", times, [bare_pid])
        interleave(readers, rounds=1)  # to warm up
        found = interleave(readers, rounds=rounds)
        senders = _senders(receiver, desk, cookie, list(pages.values()), webhooks)
        interleave(senders, rounds=1)
        return _table(found, list(readers), interleave(senders, rounds=rounds), sizes)


@contextmanager
def _desk(harness: Harness, shop: Shop) -> Iterator[tuple[int, int]]:
    """Run the desk, and a stand-in for Polar that knows its customers; yield the port and process id."""
    port, token = free_port(), "polar_oat_of-the-bench"
    known = [f"--customer={one}" for one in (shop.customer, shop.crowd)]
    stand_in = ["app.demo.polar", f"--port={port}", f"--token={token}", "--meter=api_usage", *known]
    url = f"http://127.0.0.1:{port}"
    with harness.process(*stand_in) as polar:
        harness.await_up(polar, lambda: answers(f"{url}/v1/meters/"))
        with harness.api(CREDITS_DESK_TOKEN=DESK_TOKEN, POLAR_SERVER=url) as served:
            yield served


def pages_of(shop: Shop, crowd: int) -> Mapping[str, str]:
    """Return the path of each page that is opened; ``crowd`` is the number of one customer's orders."""
    pages = {
        "overview": "overview",
        "deliveries": "deliveries",
        "deliveries, in the middle": f"deliveries?after={shop.middle}",
        "deliveries, of a type that is rare": "deliveries?type=order.refunded",
        "deliveries, of an order": f"deliveries?order={shop.order}",
        f"deliveries, of a customer with {crowd:,} orders": f"deliveries?customer={shop.crowd}",
        "delivery": f"delivery?id={shop.delivery}",
        "search for a customer": "customers",
        "customer with 5 orders": f"customer?id={shop.customer}",
        f"customer with {crowd:,} orders": f"customer?id={shop.crowd}",
        "rules": "rules",
        "rules, tried on a delivery": f"rules?delivery={shop.delivery}",
        "preview of a replay of 100 deliveries": "replay?status=failed",
        "preview of a replay": f"replay?id={shop.failed}",
        "preview of a dismissal": f"dismiss?id={shop.failed}",
        "grant": "grant",
        "actions": "actions",
    }
    return {name: f"/desk/{page}" for name, page in pages.items()}


def _redis_pid(harness: Harness) -> int:
    with harness.redis() as redis:
        return int(redis.info("server")["process_id"])


def _reading(port: int, cookie: str, path: str, times: int, pids: Sequence[int]) -> Callable[[], Sample]:
    def read() -> Sample:
        reader = Reader(port, cookie)  # a new one: the server closes a connection that is idle between rounds
        before = sum(map(cpu_seconds, pids))
        milliseconds = [reader.seconds(path) * 1000 for _ in range(times)]
        cpu = (sum(map(cpu_seconds, pids)) - before) * 1000 / times
        return {"median": median(milliseconds), "p95": quantiles(milliseconds, n=20)[-1], "cpu": cpu}

    return read


def _senders(
    receiver: int, desk: int, cookie: str, paths: Sequence[str], webhooks: int
) -> dict[str, Callable[[], Sample]]:
    def send_while(paths: Sequence[str], pause_ms: int) -> Sample:
        requests = requests_with(paid_orders(webhooks))
        header = f"Cookie: {cookie}"
        with asked_meanwhile(desk, paths, connections=_PEOPLE, header=header, pause_ms=pause_ms) as measured:
            result = send(receiver, requests, connections=1)
        pages, seconds = measured or [0, 1]
        return {"p99": result.percentile_ms(99), "rate": pages / seconds}

    found: dict[str, Callable[[], Sample]] = {_ALONE: lambda: send_while([], 0)}
    for name, pause_ms in _PAUSES_MS.items():
        found[name] = lambda pause_ms=pause_ms: send_while(paths, pause_ms)  # type: ignore[misc]
    return found


def _table(found: Rounds, names: list[str], beside: Rounds, sizes: Mapping[str, int]) -> Table:
    goals = {name: _GOAL_MS for name in names if name != _BARE}
    return Table(
        subject="desk",
        header=["page", _MEDIAN, "p95 ms", "times the bare page", "CPU ms"],
        rows=[
            [
                name,
                figure(found.median(name, "median")),
                figure(found.median(name, "p95")),
                f"{found.ratio(name, _BARE, 'median'):.1f}",
                figure(found.median(name, "cpu")),
            ]
            for name in names
        ],
        note=f"{sizes['grants']:,} grants, all of their deliveries kept; one reader. CPU is that of the desk "
        f"and of Redis. Polar is the demo's stand-in. {_beside_text(beside)}",
        goals=[Goals(column=_MEDIAN, rows=goals, is_lower_better=True, is_ratio=False)],
    )


def _beside_text(beside: Rounds) -> str:
    alone, reloading = (figure(beside.median(name, "p99")) for name in (_ALONE, _RELOADING))
    times, at_once = (
        f"{beside.ratio(name, _ALONE, 'p99'):.2f} times that" for name in (_RELOADING, _WITHOUT_PAUSE)
    )
    return (
        f"The 99th percentile of a webhook is {alone} ms alone. While {_PEOPLE} people each reload a page "
        f"about once a second, it is {reloading} ms, {times} (goal: at most {_P99_GOAL}). While they reload "
        f"without a pause, {figure(beside.median(_WITHOUT_PAUSE, 'rate'))} pages a second, it is {at_once}."
    )
