"""How long each part takes from its start until it serves."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rounds import Rounds, Sample, Table, figure, interleave
from bench.stage import Stage, answers, free_port, stage
from workers.embedded.server import EmbeddedRedis

_RECEIVER = "`credits serve`, until it can store"
_BARE = "bare Starlette route, until it answers"
_WORKER = "`credits work`, until it is registered"
_RQ = "`rq worker`, until it is registered"
_UP = "`credits up` on an empty folder, until it can store"
_HELP = "`credits --help`"


def measure(*, quick: bool) -> Table:
    """Start everything again and again."""
    with stage() as set_up:
        contenders: dict[str, Callable[[], Sample]] = {
            _RECEIVER: lambda: _seconds(set_up.receiver()),
            _BARE: lambda: _seconds(set_up.rival("bare")),
            _WORKER: lambda: _seconds(set_up.workers()),
            _RQ: lambda: _seconds(set_up.rq_worker("rq.worker.SimpleWorker", "bench")),
            _UP: lambda: _up(set_up),
            _HELP: lambda: _help(set_up),
        }
        return _table(interleave(contenders, rounds=1 if quick else 7), list(contenders))


def _seconds(part: AbstractContextManager[object]) -> Sample:
    begun = time.monotonic()
    with part:
        return {"seconds": time.monotonic() - begun}


def _up(stage: Stage) -> Sample:
    with TemporaryDirectory() as folder:
        port = str(free_port())
        ready = f"http://127.0.0.1:{port}/readyz"
        begun = time.monotonic()
        # An empty setting counts as unset.
        with stage.process("app", "up", PORT=port, REDIS_URL="", CREDITS_DATA_DIR=folder) as process:
            stage.await_up(process, lambda: answers(ready))
            seconds = time.monotonic() - begun
        EmbeddedRedis(Path(folder)).await_end()
        return {"seconds": seconds}


def _help(stage: Stage) -> Sample:
    begun = time.monotonic()
    with stage.process("app", "--help") as process:
        process.wait()
        return {"seconds": time.monotonic() - begun}


def _table(found: Rounds, names: list[str]) -> Table:
    rows = [[name, figure(found.median(name, "seconds"))] for name in names]
    return Table(subject="startup", header=["what", "seconds"], rows=rows)
