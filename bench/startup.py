"""Measures how long each process takes from its start until it serves."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.harness import Harness, answers, free_port, start_harness
from bench.rounds import Rounds, Sample, Table, figure, interleave
from workers.embedded.server import EmbeddedRedis

_RECEIVER = "`credits serve`, until it can store"
_BARE = "bare Starlette route, until it answers"
_WORKER = "`credits work`, until it is registered"
_RQ = "`rq worker`, until it is registered"
_UP = "`credits up` on an empty folder, until it can store"
_HELP = "`credits --help`"


def measure(*, quick: bool) -> Table:
    """Start each process several times."""
    with start_harness() as harness:
        contenders: dict[str, Callable[[], Sample]] = {
            _RECEIVER: lambda: _seconds(harness.receiver()),
            _BARE: lambda: _seconds(harness.rival("bare")),
            _WORKER: lambda: _seconds(harness.workers()),
            _RQ: lambda: _seconds(harness.rq_worker("rq.worker.SimpleWorker", "bench")),
            _UP: lambda: _up(harness),
            _HELP: lambda: _help(harness),
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


def _help(harness: Harness) -> Sample:
    begun = time.monotonic()
    with harness.process("app", "--help") as process:
        process.wait()
        return {"seconds": time.monotonic() - begun}


def _table(found: Rounds, names: list[str]) -> Table:
    rows = [[name, figure(found.median(name, "seconds"))] for name in names]
    return Table(subject="startup", header=["process", "seconds"], rows=rows)
