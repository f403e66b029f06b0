"""Measures how long operators wait for the first page of each list at ten million grants, and its memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.goals import Goals
from bench.harness import Harness, answers, cpu_seconds, free_port, start_harness
from bench.operators_data import RARE_TYPE, Names, Sizes, fill_ledger
from bench.rounds import NotMeasuredError, Rounds, Sample, Table, figure, interleave

_CHILD = Path(__file__).with_name("child.py")
_SECONDS, _PEAK = "seconds", "peak, MB"
_GOAL_SECONDS, _GOAL_MB = 0.5, 200
_TOKEN = "polar_oat_of-the-bench"  # noqa: S105 - used by the benchmarks alone

_QUICK = Sizes(grants=5_000, crowd=1_000, kept=1_000, failed=20)
_LARGE = Sizes(grants=10_000_000, crowd=100_000, kept=300_000, failed=1_000)


def measure(*, quick: bool) -> Table:
    """Run each command in turn, on a large ledger and on a small one; quickly, on the small one alone."""
    sizes = _QUICK if quick else _LARGE
    with ExitStack() as stack:
        contenders, used = stack.enter_context(_commands(sizes))
        at_few = {name: name if quick else f"{name}, {_QUICK.grants}" for name in contenders}
        if not quick:
            small, _ = stack.enter_context(_commands(_QUICK))
            contenders |= {at_few[name]: run for name, run in small.items()}
        found = interleave(contenders, rounds=1 if quick else 3)
    return _table(found, at_few, sizes, used)


@contextmanager
def _commands(sizes: Sizes) -> Iterator[tuple[dict[str, Callable[[], Sample]], int]]:
    """Fill a ledger; yield how each command runs on it, and how many bytes Redis uses."""
    with start_harness() as harness:
        names = fill_ledger(harness, sizes)
        with _polar(harness, names) as url, harness.redis() as redis:
            pid = int(redis.info("server")["process_id"])
            environment = {**harness.environment, "POLAR_SERVER": url}
            commands = {
                f"`{shown}`": _running(command, expected, environment, pid)
                for shown, (command, expected) in commands_on(names).items()
            }
            yield commands, int(redis.info("memory")["used_memory"])


def commands_on(names: Names) -> Mapping[str, tuple[str, str]]:
    """Return by how it is shown: each command, and a text that its output must have."""
    found = {
        "status": ("status", "confirmed by Polar"),
        "grants": ("grants", "api_usage"),
        "grants --since 24h": ("grants --since 24h", "api_usage"),
        "grants --order ID": (f"grants --order {names.order}", names.order),
        "grants --customer ID": (f"grants --customer {names.customer}", names.customer),
        "grants --customer CROWD": (f"grants --customer {names.crowd}", names.crowd),
        "grants --upcoming": ("grants --upcoming", "no instalments"),
        "grants --json --limit 100000": ("grants --json --limit 100000", names.delivery),
        "grants --csv --limit 100000": ("grants --csv --limit 100000", names.delivery),
        "deliveries": ("deliveries", "failed-"),
        "deliveries --status granted": ("deliveries --status granted", names.delivery),
        "deliveries --status failed": ("deliveries --status failed", "failed-"),
        "deliveries --since 24h": ("deliveries --since 24h", "failed-"),
        "deliveries --type RARE": (f"deliveries --type {RARE_TYPE}", RARE_TYPE),
        "deliveries --order ID": (f"deliveries --order {names.kept_order}", names.delivery),
        "deliveries --customer ID": (f"deliveries --customer {names.kept_customer}", names.delivery),
        "deliveries --customer CROWD": (f"deliveries --customer {names.crowd}", "no deliveries"),
        "show ID": (f"show {names.delivery}", names.delivery),
        "show START": (f"show {names.failed}", names.failed),
        "explain ORDER": (f"explain {names.order}", names.order),
        "explain DELIVERY": (f"explain {names.delivery}", names.delivery),
        "explain --customer ID": (f"explain --customer {names.kept_customer}", names.kept_order),
        "explain --customer CROWD": (f"explain --customer {names.crowd}", names.crowd),
        "balance --customer ID": (f"balance --customer {names.customer}", "50"),
        "balance --customer CROWD": (f"balance --customer {names.crowd}", "api_usage"),
        "outbox": ("outbox", "waiting"),
        "outbox --failed": ("outbox --failed", "given up"),
        "check": ("check", "rules"),
        "replay --failed --dry-run": ("replay --failed --dry-run", names.failed),
        "revoke ORDER --dry-run": (f"revoke {names.order} --dry-run", names.order),
    }
    return {f"credits {shown}": command for shown, command in found.items()}


@contextmanager
def _polar(harness: Harness, names: Names) -> Iterator[str]:
    """Run a stand-in for Polar that knows the customers; yield its address."""
    port = free_port()
    known = [f"--customer={one}" for one in (names.customer, names.crowd)]
    stand_in = ["app.demo.polar", f"--port={port}", f"--token={_TOKEN}", "--meter=api_usage", *known]
    url = f"http://127.0.0.1:{port}"
    with harness.process(*stand_in) as polar:
        harness.await_up(polar, lambda: answers(f"{url}/v1/meters/"))
        yield url


def _running(
    command: str, expected: str, environment: Mapping[str, str], redis_pid: int
) -> Callable[[], Sample]:
    def run() -> Sample:
        before = cpu_seconds(redis_pid)
        found = measured(command.split(), environment)
        if expected not in found["output"]:
            raise NotMeasuredError(f"credits {command} does not show {expected!r}: {found['output']}")
        used = found["processor"] + cpu_seconds(redis_pid) - before
        return {"seconds": found["seconds"], "processor": used, "peak": found["peak_mb"]}

    return run


def measured(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a command of ours to its end; return what ``bench.child`` prints about it."""
    command = [sys.executable, "-S", str(_CHILD), sys.executable, "-m", "app", *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, env=dict(environment), stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _table(found: Rounds, at_few: Mapping[str, str], sizes: Sizes, used: int) -> Table:
    # An export may take its time.
    first_pages = {name: None if "--limit" in name else _GOAL_SECONDS for name in at_few}
    return Table(
        subject="operators",
        header=["command", _SECONDS, "processor seconds", f"at {_QUICK.grants:,} grants", _PEAK],
        rows=[
            [
                name,
                figure(found.median(name, "seconds")),
                figure(found.median(name, "processor")),
                figure(found.median(few, "processor")),
                figure(found.median(name, "peak")),
            ]
            for name, few in at_few.items()
        ],
        note=f"{sizes.grants:,} sealed grants: {sizes.crowd:,} of one customer (CROWD), five of each other; "
        f"{sizes.kept:,} deliveries are kept, and {sizes.failed:,} failed. Redis uses {used / 1e9:.2f} GB. "
        "Each command is a process of its own, from its start to its end. Processor seconds are its own and "
        "those of Redis.",
        goals=[
            Goals(column=_SECONDS, rows=first_pages, is_lower_better=True, is_ratio=False),
            Goals(column=_PEAK, rows=dict.fromkeys(at_few, _GOAL_MB), is_lower_better=True, is_ratio=False),
        ],
    )
