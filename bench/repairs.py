"""Measures the memory of the commands that read all orders or webhooks, with few rows and with many."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.goals import Goals
from bench.harness import RULES, Harness, answers, free_port, start_harness
from bench.operators import measured
from bench.rounds import NotMeasuredError, Table, figure

_QUICK, _FEW, _MANY = 300, 10_000, 100_000
_GOAL_MB = 200
_ADJUSTED = "adjusted.yaml"

# Each command, and a text that its output must have. They run in this order; at first the ledger is empty.
_COMMANDS = {
    "recover --since 2d --dry-run": "in all",
    "backfill --since 2d --assume-current --dry-run": "missing",
    "backfill --since 2d --assume-current --yes": "granted",
    "replay --all --dry-run": "in all",
    "adjust --rule pack --since 2d --dry-run": "in all",
}


def measure(*, quick: bool) -> Table:
    """Run each command once with few rows, and once with many."""
    few, many = (_QUICK, 2 * _QUICK) if quick else (_FEW, _MANY)
    at_few, at_many = _run_all(few), _run_all(many)
    peak, names = f"peak at {many:,} rows, MB", [f"`credits {one}`" for one in _COMMANDS]
    return Table(
        subject="repairs",
        header=["command", f"peak at {few:,} rows, MB", peak, "processor seconds", "seconds"],
        rows=[
            [
                name,
                figure(at_few[one]["peak_mb"]),
                figure(at_many[one]["peak_mb"]),
                figure(at_many[one]["processor"]),
                figure(at_many[one]["seconds"]),
            ]
            for name, one in zip(names, _COMMANDS, strict=True)
        ],
        note="Each row is an undelivered webhook or an order. A fake of Polar makes it as it is "
        "read. Only the third command writes; the last two read what it has credited.",
        goals=[Goals(column=peak, rows=dict.fromkeys(names, _GOAL_MB), is_lower_better=True, is_ratio=False)],
    )


def _run_all(rows: int) -> Mapping[str, Mapping[str, float]]:
    with start_harness() as harness, _polar(harness, rows) as url:
        (harness.folder / _ADJUSTED).write_text(RULES.replace("api_usage: 10", "api_usage: 12"))
        environment = {**harness.environment, "POLAR_SERVER": url}
        found = {}
        for command, expected in _COMMANDS.items():
            if command.startswith("adjust"):
                environment["CREDITS_RULES"] = str(harness.folder / _ADJUSTED)
            found[command] = measured(command.split(), environment)
            if expected not in found[command]["output"]:
                raise NotMeasuredError(f"credits {command} says: {found[command]['output']}")
        return found


@contextmanager
def _polar(harness: Harness, rows: int) -> Iterator[str]:
    """Run a Polar with ``rows`` orders and undelivered webhooks; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with harness.process("bench.many", str(port), "0", str(rows)) as polar:
        harness.await_up(polar, lambda: answers(f"{url}/requests"))
        yield url
