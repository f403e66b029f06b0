"""Workers start as forks of their supervisor: what they all need is imported once."""

from pathlib import Path

import pytest

from app.processes.forked import CAN_FORK
from tests.support.processes import Running, credits_in, eventually, processes
from tests.support.redis_servers import own_redis
from workers.store.queue import workers_alive

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not CAN_FORK, reason="here each process starts afresh"),
]

ONCE = (
    "workers.runtime.worker",
    "workers.runtime.background",
    "workers.pipeline.worker",
    "cel_expr_python.cel",
    "httpx",
)


def imported(work: Running) -> list[str]:
    lines = [line for line in work.said.splitlines() if line.startswith("import time:")]
    return [line.rpartition("|")[2].strip() for line in lines]


def test_workers_and_the_background_process_import_nothing_twice(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        credits_ = credits_in(
            tmp_path, "http://127.0.0.1:9", REDIS_URL=server.url, PYTHONPROFILEIMPORTTIME="1"
        )
        with credits_.running("work", "--workers", "2") as work, server.client() as redis:
            eventually(lambda: workers_alive(redis) == 2)
            eventually(lambda: set(ONCE) <= set(imported(work)))  # the background process may come later
            parts = [*work.parts("worker"), *work.parts("background")]
            assert len(parts) == 3
            titles = {one.title for one in processes() if one.pid in parts}
            assert titles == {"credits-worker", "credits-backgro"}
            found = imported(work)
    assert {name: found.count(name) for name in ONCE} == dict.fromkeys(ONCE, 1)
