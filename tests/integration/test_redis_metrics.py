"""What ``/metrics`` tells of the Redis server itself."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from redis import Redis

from tests.support.metrics_scrape import numbers_of
from tests.support.redis_servers import own_redis
from workers.monitoring.metrics import exposition


def of_redis(redis: Redis) -> Mapping[str, float]:
    numbers = numbers_of(exposition(redis).decode())
    return {name: value for name, value in numbers.items() if name.startswith("credits_redis_")}


def test_a_good_server_has_no_problems_and_its_sizes_are_told(redis: Redis) -> None:
    told = of_redis(redis)
    assert (told["credits_redis_problems error"], told["credits_redis_problems warning"]) == (0, 0)
    assert told["credits_redis_memory_bytes"] == pytest.approx(redis.info()["used_memory"], rel=0.2)
    assert told["credits_redis_aof_bytes"] >= 0
    assert told["credits_redis_memory_limit_bytes"] == 0


def test_the_disk_is_that_of_the_data_folder(redis: Redis) -> None:
    free = shutil.disk_usage(str(redis.config_get("dir")["dir"])).free
    assert of_redis(redis)["credits_redis_disk_free_bytes"] == pytest.approx(free, rel=0.2)


def test_a_server_that_may_lose_data_is_a_problem(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server, server.client() as redis:
        redis.config_set("appendfsync", "no")
        redis.config_set("maxmemory", 100_000_000)
        redis.config_set("maxmemory-policy", "allkeys-lru")
        told = of_redis(redis)
    assert (told["credits_redis_problems error"], told["credits_redis_problems warning"]) == (1, 1)
    assert told["credits_redis_memory_limit_bytes"] == 100_000_000


def test_what_a_user_may_not_see_is_left_out(tmp_path: Path) -> None:
    """A missing sample raises no alert about a size; a zero would."""
    with own_redis(tmp_path) as server:
        url = server.add_user("credits", "open-sesame", ["+@all", "-info", "-config"])
        with Redis.from_url(url) as redis:
            assert set(of_redis(redis)) == {"credits_redis_problems error", "credits_redis_problems warning"}


def test_a_server_elsewhere_tells_nothing_of_this_hosts_disk(redis: Redis) -> None:
    redis.connection_pool.connection_kwargs = {"host": "redis.example.com"}  # connections are open already
    assert not [name for name in of_redis(redis) if re.search("disk", name)]
