"""Stored data has a format: noted with the first thing, migrated by one process, refused if it is newer."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from tests.support.ledgers import rebuild
from tests.support.polar_orders import operations_at, sell
from tests.support.processes import TEN, TOKEN
from tests.support.real_stores import accept
from tests.support.receivers import settings_for
from workers.runtime.worker import worker_for
from workers.store import format as stored_format
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.format import FORMAT, UnknownFormatError, format_findings, open_ledger, prepare

NEWER = FORMAT + 1
WORDS = (
    f"Redis holds data of format {NEWER}, and this version knows formats up to {FORMAT}: install the version "
    "that wrote it, or a newer one; meanwhile receivers go on storing webhooks"
)
DOZEN = [f"msg-{number}" for number in range(12)]


def noted(redis: Redis) -> int | None:
    found = redis.get(keys.FORMAT)
    return int(found) if found else None


def test_a_worker_notes_the_format_when_it_starts_and_after_redis_was_emptied(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(TEN)
    settings = settings_for(redis_url, POLAR_ACCESS_TOKEN=TOKEN, CREDITS_RULES=str(rules))
    open_ledger(redis)
    assert noted(redis) == FORMAT
    worker = worker_for(settings, redis_url)
    redis.flushall()
    accept(redis_url, "msg-1")
    assert noted(redis) is None
    worker.tick()
    assert noted(redis) == FORMAT
    redis.set(keys.FORMAT, NEWER)
    with pytest.raises(UnknownFormatError):
        worker.tick()
    assert noted(redis) == NEWER


def test_a_command_that_stores_a_delivery_of_its_own_notes_it_too(redis: Redis, store: DeliveryStore) -> None:
    store.store_and_lease([("msg-1", "order.paid", b"{}")])
    assert noted(redis) == FORMAT


def test_a_rebuild_of_an_emptied_redis_notes_it_too(redis: Redis) -> None:
    with operations_at(redis) as operations:
        sell(operations.polar, 1)
        operations.backfill()
        redis.flushall()
        rebuild(operations)
    assert noted(redis) == FORMAT


def test_a_dry_run_on_an_empty_redis_writes_nothing(redis: Redis) -> None:
    prepare(redis)
    assert redis.dbsize() == 0


def test_a_ledger_from_before_0_1_0_has_format_1(redis: Redis) -> None:
    redis.hset(keys.CUSTOMERS, "someone", "order:1")
    begun = []

    def step(_redis: Redis) -> Iterator[None]:
        begun.append(1)
        yield

    prepare(redis, newest=2, steps={1: step})
    assert (begun, noted(redis)) == ([1], 2)


def test_a_newer_format_is_refused_in_words(redis: Redis) -> None:
    redis.set(keys.FORMAT, NEWER)
    with pytest.raises(UnknownFormatError) as refused:
        prepare(redis)
    assert str(refused.value) == WORDS
    (finding,) = format_findings(redis)
    assert (finding.level, finding.detail) == ("error", WORDS)


class Steps:
    """Made-up steps to format 3: one moves the members of a set, one in each piece; the next counts them."""

    def __init__(self, redis: Redis) -> None:
        redis.sadd("credits:old", *DOZEN)
        redis.hset(keys.CUSTOMERS, "someone", "order:1")  # so the ledger is not a new one
        self.by_begin = {1: self.rename, 2: self.count}
        self.pieces = 0
        self.dies_after = 10**9
        self.begun: list[str] = []

    def rename(self, redis: Redis) -> Iterator[None]:
        self.begun.append(threading.current_thread().name)
        while member := redis.srandmember("credits:old"):
            redis.smove("credits:old", "credits:new", cast(bytes, member).decode())
            self.pieces += 1
            if self.pieces > self.dies_after:
                raise KeyboardInterrupt
            yield

    def count(self, redis: Redis) -> Iterator[None]:
        assert noted(redis) == 2
        redis.set("credits:count", redis.scard("credits:new"))
        yield

    def run(self, redis: Redis) -> None:
        prepare(redis, newest=3, steps=self.by_begin)


def assert_migrated(redis: Redis) -> None:
    assert noted(redis) == 3
    assert redis.scard("credits:new") == len(DOZEN)
    assert redis.get("credits:count") == b"12"
    assert redis.exists("credits:old", keys.MIGRATION) == 0


@pytest.mark.parametrize("is_noted", [True, False])
def test_an_older_format_is_migrated_step_by_step(redis: Redis, is_noted: bool) -> None:
    steps = Steps(redis)
    if is_noted:
        redis.set(keys.FORMAT, 1)
    steps.run(redis)
    assert_migrated(redis)
    steps.run(redis)
    assert steps.pieces == len(DOZEN)


def test_one_of_many_processes_migrates_and_the_others_wait(redis: Redis) -> None:
    steps = Steps(redis)
    threads = [threading.Thread(target=steps.run, args=[redis]) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert_migrated(redis)
    assert (len(steps.begun), steps.pieces) == (1, len(DOZEN))


def test_another_process_takes_over_from_one_that_was_killed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_format, "_HELD_SECONDS", 1)
    steps = Steps(redis)
    steps.dies_after = 4
    with pytest.raises(KeyboardInterrupt):
        steps.run(redis)
    assert noted(redis) is None
    steps.dies_after = 10**9
    steps.run(redis)  # waits until nobody holds the migration
    assert_migrated(redis)
    assert steps.pieces == len(DOZEN)


def test_a_process_that_slept_ends_no_step_that_another_has_begun_anew(redis: Redis) -> None:
    def slow(redis: Redis) -> Iterator[None]:
        redis.set(keys.MIGRATION, "another")  # while this one slept, its hold had expired
        yield
        raise AssertionError("it went on")

    stored_format._migrate(redis, 1, slow)
    assert noted(redis) is None
    assert redis.get(keys.MIGRATION) == b"another"
