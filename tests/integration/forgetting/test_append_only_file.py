"""Erased bodies are also gone from Redis's append-only file, where it has one."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.support.forgetting import THEIRS
from workers.operations.forget import CustomerEraser
from workers.store import keys


def log_files(redis: Redis) -> Iterator[bytes]:
    folder = Path(cast(dict[str, str], redis.config_get("dir"))["dir"])
    return (file.read_bytes() for file in folder.glob("appendonlydir/*.aof"))


@pytest.mark.usefixtures("settled")
def test_erased_bodies_are_removed_from_the_append_only_file(redis: Redis, eraser: CustomerEraser) -> None:
    stored = cast(bytes, redis.get(keys.body("granted")))
    assert any(stored in file for file in log_files(redis))
    eraser.erase(sorted(THEIRS))
    assert any(stored in file for file in log_files(redis))
    assert eraser.rewrite_log() == ""
    assert not any(stored in file for file in log_files(redis))


def test_a_rewrite_that_began_earlier_is_awaited_and_followed_by_another(
    redis: Redis, eraser: CustomerEraser
) -> None:
    before = redis.info("persistence")["aof_base_size"]
    redis.set("credits:test", "x" * 2_000_000)
    redis.bgrewriteaof()
    redis.delete("credits:test")
    assert eraser.rewrite_log() == ""
    assert redis.info("persistence")["aof_base_size"] < before + 1_000_000


def test_a_server_that_refuses_to_rewrite_is_reported(eraser: CustomerEraser, redis: Redis) -> None:
    """Some providers do."""

    class Managed:
        def info(self, _section: str) -> dict[str, object]:
            raise ResponseError("unknown command 'INFO'")

    eraser._erasure._redis = cast(Redis, Managed())
    assert "unknown command 'INFO'" in eraser.rewrite_log()


def test_without_an_append_only_file_there_is_nothing_to_rewrite(
    eraser: CustomerEraser, redis: Redis
) -> None:
    redis.config_set("appendonly", "no")
    try:
        assert eraser.rewrite_log() == ""
    finally:
        redis.config_set("appendonly", "yes")
