"""Measures how long each process takes from its start until it serves, and each command until it ends."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.goals import Goals
from bench.harness import Harness, answers, free_port, start_harness
from bench.rounds import Rounds, Sample, Table, figure, interleave
from workers.embedded.server import EmbeddedRedis

_PYTHON = "`python -c pass`"
_HELP = "`credits --help`"
_STATUS = "`credits status`"
_RECEIVER = "`credits serve`, until it can store"
_BARE = "bare Starlette route, until it answers"
_WORKER = "`credits work`, until it is registered"
_RQ = "`rq worker`, until it is registered"
_UP = "`credits up` on an empty folder, until it can store"

_RATIO = f"relative to {_PYTHON}"

_BARE_PYTHON_SECONDS = 0.010  # of a quiet machine; there the goals are seconds, and the ratios hold on any
_GOALS = {_HELP: 0.15, _STATUS: 0.30, _RECEIVER: 0.25, _WORKER: 0.35}

_NOTE = (
    f"A ratio is to {_PYTHON} in the same round. The goals are 0.15, 0.30, 0.25 and 0.35 seconds on a quiet "
    f"machine, where {_PYTHON} takes 10 ms."
)


def measure(*, quick: bool) -> Table:
    """Start each process several times."""
    with start_harness() as harness:
        contenders: dict[str, Callable[[], Sample]] = {
            _PYTHON: lambda: _command(harness, "-c", "pass"),
            _HELP: lambda: _command(harness, "-m", "app", "--help"),
            _STATUS: lambda: _command(harness, "-m", "app", "status"),
            _RECEIVER: lambda: _seconds(harness.receiver()),
            _BARE: lambda: _seconds(harness.rival("bare")),
            _WORKER: lambda: _seconds(harness.workers()),
            _RQ: lambda: _seconds(harness.rq_worker("rq.worker.SimpleWorker", "bench")),
            _UP: lambda: _up(harness),
        }
        return _table(interleave(contenders, rounds=1 if quick else 7), list(contenders))


def _seconds(process: AbstractContextManager[object]) -> Sample:
    begun = time.monotonic()
    with process:
        return {"seconds": time.monotonic() - begun}


def _up(harness: Harness) -> Sample:
    with TemporaryDirectory() as folder:
        port = str(free_port())
        ready = f"http://127.0.0.1:{port}/readyz"
        begun = time.monotonic()
        # An empty setting counts as unset, so this starts the embedded Redis.
        with harness.process("app", "up", PORT=port, REDIS_URL="", CREDITS_DATA_DIR=folder) as process:
            harness.await_up(process, lambda: answers(ready))
            seconds = time.monotonic() - begun
        EmbeddedRedis(Path(folder)).await_end()
        return {"seconds": seconds}


def _command(harness: Harness, *args: str) -> Sample:
    """Run a command to its end; its processor time says more than its time on a busy machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, *args], env=harness.environment, stdout=subprocess.DEVNULL, check=True
    )
    seconds = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor": used}


def _table(found: Rounds, names: list[str]) -> Table:
    return Table(
        subject="startup",
        header=["process", "seconds", "processor seconds", _RATIO],
        rows=[_row(found, name) for name in names],
        note=_NOTE,
        goals=[Goals(column=_RATIO, rows=_goals(), is_lower_better=True)],
    )


def _goals() -> dict[str, float | None]:
    return {_UP: None, **{name: seconds / _BARE_PYTHON_SECONDS for name, seconds in _GOALS.items()}}


def _row(found: Rounds, name: str) -> list[str]:
    processor = figure(found.median(name, "processor")) if name in {_PYTHON, _HELP, _STATUS} else ""
    ratio = figure(found.ratio(name, _PYTHON, "seconds"))
    return [name, figure(found.median(name, "seconds")), processor, ratio]
