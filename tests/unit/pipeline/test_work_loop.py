"""A worker that waits for Redis: it logs an outage once, and can be stopped during one."""

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from redis.exceptions import ConnectionError as RedisGoneError
from structlog.testing import capture_logs

from workers.pipeline import work_loop
from workers.pipeline.worker import GrantWorker
from workers.timings import Timings


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the signals as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send_sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Away:
    """Fails to build a worker because Redis is away; calls a function at one of the attempts."""

    def __init__(self, *, at_try: int = 0, happens: Callable[[], None] = lambda: None) -> None:
        self._tries = 0
        self._at_try = at_try
        self._happens = happens

    def __call__(self) -> GrantWorker:
        """Try to build a worker."""
        self._tries += 1
        if self._tries == self._at_try:
            self._happens()
        raise RedisGoneError("Connection refused.")


def test_an_outage_is_logged_once_however_often_redis_is_tried() -> None:
    with capture_logs() as logs:
        work_loop.work_until_stopped(
            Away(at_try=20, happens=send_sigterm), Timings(longest_redis_wait_seconds=0.001)
        )
    (line,) = logs
    assert line["event"] == "Redis is away: waiting for it"
    assert "Connection refused." in line["reason"]


def test_sigterm_ends_a_wait() -> None:
    """The test's own time limit is shorter than this wait."""
    in_a_moment = threading.Timer(0.1, send_sigterm)
    work_loop.work_until_stopped(
        Away(at_try=1, happens=in_a_moment.start), Timings(first_redis_wait_seconds=1000.0)
    )
    in_a_moment.join()


def test_a_burst_raises_what_keeps_it_from_redis() -> None:
    with pytest.raises(RedisGoneError):
        work_loop.work_in_a_burst(Away())
