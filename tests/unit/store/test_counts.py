"""What a process counts is written down once, whether or not Redis is there at the time."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from typing import Any, cast

import httpx
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.receiver.tally_flusher import TallyFlusher
from tests.support.answers import EVENT, TOKEN, URL
from workers.errors import PolarError
from workers.monitoring.metrics import COUNTS
from workers.polar.client import Polar
from workers.store.arrivals import ArrivalNotes
from workers.store.counts import (
    DELIVERY_TO_CREDIT_SECONDS,
    DELIVERY_TO_CREDIT_SECONDS_SUM,
    NAMES,
    NAMES_BY_DAY,
    POLAR_REQUESTS,
    Tally,
)


def test_scripts_count_under_the_names_of_the_one_list() -> None:
    scripts = [one.read_text() for one in (files("workers.store") / "lua").iterdir()]
    calls = [call for script in scripts for call in re.findall(r"(?<!function )\bcount\((.*)", script)]
    names = [re.match(r"'(\w+)'", call) for call in calls]
    assert all(names), calls  # a name that is computed could be any
    assert {name[1] for name in names if name} <= NAMES | NAMES_BY_DAY
    assert len(calls) > 5


def test_every_name_is_a_metric_and_every_metric_has_a_name() -> None:
    histogram = {DELIVERY_TO_CREDIT_SECONDS, DELIVERY_TO_CREDIT_SECONDS_SUM}
    assert {count.name for count in COUNTS} == NAMES - histogram


class SomeRedis:
    """The part of Redis that counts use; while it is away, it adds nothing."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.is_away = False
        self.connection_pool = self
        self.connection_kwargs: dict[str, str] = {}
        self.left = 0
        self._waiting: dict[str, int] = {}

    def pipeline(self) -> "SomeRedis":
        self._waiting = {}
        return self

    def disconnect(self, *, inuse_connections: bool) -> None:
        """Count how often the idle connections were closed."""
        assert not inuse_connections
        self.left += 1

    def hincrby(self, _key: str, name: str, by: int) -> None:
        self._waiting[name] = by

    def execute(self) -> None:
        if self.is_away:
            raise RedisConnectionError("away")
        for name, by in self._waiting.items():
            self.counts[name] = self.counts.get(name, 0) + by


@pytest.fixture
def some_redis() -> SomeRedis:
    return SomeRedis()


def counting_in(some_redis: SomeRedis, tally: Tally) -> TallyFlusher:
    return TallyFlusher(tally, ArrivalNotes(), cast("Redis", some_redis))


def test_counts_are_written_once(some_redis: SomeRedis) -> None:
    tally = Tally()
    tally.add("rejected_requests", "incomplete")
    tally.add("rejected_requests", "incomplete")
    counting = counting_in(some_redis, tally)
    asyncio.run(counting.flush())
    asyncio.run(counting.flush())
    assert some_redis.counts == {"rejected_requests incomplete": 2}


def test_counts_that_redis_refused_are_written_with_later_ones(some_redis: SomeRedis) -> None:
    tally = Tally()
    counting = counting_in(some_redis, tally)
    some_redis.is_away = True
    tally.add("rejected_requests", "unavailable")
    asyncio.run(counting.flush())
    assert some_redis.left == 1  # after a fail-over, open connections lead to the old primary
    tally.add("rejected_requests", "unavailable")
    some_redis.is_away = False
    asyncio.run(counting.flush())
    assert some_redis.counts == {"rejected_requests unavailable": 2}


def test_counts_added_during_a_failing_flush_are_neither_lost_nor_doubled() -> None:
    tally = Tally()
    tally.add("one")

    def write_down_in_vain() -> None:
        with tally.flush() as counts:
            tally.add("one")
            tally.add("two")
            assert counts == {"one": 1}
            raise RedisConnectionError("away")

    with pytest.raises(RedisConnectionError):
        write_down_in_vain()
    with tally.flush() as counts:
        assert counts == {"one": 2, "two": 1}


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Make Python switch between threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_threads_lose_no_counts() -> None:
    """A worker settles in one thread while it asks Polar in another."""
    tally, found = Tally(), Counter[str]()

    def add_many() -> None:
        for _ in range(30_000):
            tally.add("one")

    with ThreadPoolExecutor(4) as pool:
        adding = [pool.submit(add_many) for _ in range(3)]
        while not all(one.done() for one in adding):
            with tally.flush() as counts:
                found.update(counts)
    with tally.flush() as counts:
        found.update(counts)
    assert found == {"one": 90_000}


def test_a_receiver_that_ends_writes_its_last_counts(some_redis: SomeRedis) -> None:
    async def serve() -> None:
        tally = Tally()
        counting = counting_in(some_redis, tally)
        running = asyncio.create_task(counting.run())
        await asyncio.sleep(0)
        tally.add("webhooks", "other", "ignored")
        counting.stop()
        await running

    asyncio.run(serve())
    assert some_redis.counts == {"webhooks other ignored": 1}


def answered(answer: Any) -> dict[str, int]:
    """Return the counts after one request that gets this response, or this error."""

    def respond(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return cast("httpx.Response", answer)

    tally = Tally()
    polar = Polar(
        url=URL,
        token=TOKEN,
        transport=httpx.MockTransport(respond),
        count=partial(tally.add, POLAR_REQUESTS),
    )
    with pytest.raises(PolarError):
        polar.ingest([EVENT])
    polar.close()
    with tally.flush() as counts:
        return dict(counts)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.Response(200, json={"inserted": 7}), "200"),
        (httpx.Response(429), "429"),
        (httpx.Response(422, json={}), "422"),
        (httpx.ConnectError("refused"), "none"),
        (httpx.ReadTimeout("late"), "none"),
    ],
)
def test_each_request_to_polar_is_counted_by_the_status_of_its_answer(answer: Any, status: str) -> None:
    assert answered(answer) == {f"polar_requests {status}": 1}
