"""What the tests of clock steps share: a server whose clock is moved, and workers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.moving_clock import MovableServer, movable_redis
from tests.support.real_stores import RETAIN
from tests.support.rulebooks import watch_in
from workers.pipeline.worker import GrantWorker


@pytest.fixture
def movable(tmp_path: Path) -> Iterator[MovableServer]:
    with movable_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis(movable: MovableServer) -> Iterator[Redis]:
    with movable.server.client() as client:
        yield client


@pytest.fixture
def new_worker(redis: Redis, tmp_path: Path) -> Callable[[], GrantWorker]:
    (tmp_path / "rules").mkdir()
    rulebook = watch_in(tmp_path / "rules").rulebook
    return lambda: GrantWorker(redis, rulebook=rulebook, retain=RETAIN)


@pytest.fixture
def worker(new_worker: Callable[[], GrantWorker]) -> GrantWorker:
    """Return a worker that has seen the clock before the step."""
    worker = new_worker()
    worker.tick()
    return worker
