"""Metrics of the Redis server itself: whether it keeps what it is given, and how full memory and disk are."""

import shutil
from collections import Counter
from collections.abc import Iterator
from typing import cast

from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import ResponseError

from workers.store.server_check import redis_findings


def redis_metrics(redis: Redis) -> Iterator[Metric]:
    """Yield a gauge for each thing that the server lets us see; a provider may hide some."""
    yield _problems(redis)
    for name, help_text, value in _sizes(redis):
        yield GaugeMetricFamily(f"credits_redis_{name}", help_text, value=value)


def _problems(redis: Redis) -> Metric:
    found = Counter(finding.level for finding in redis_findings(redis))
    help_text = "What `credits check` finds wrong with Redis, by level."
    family = GaugeMetricFamily("credits_redis_problems", help_text, labels=["level"])
    for level in ("error", "warning"):
        family.add_metric([level], found[level])
    return family


def _sizes(redis: Redis) -> Iterator[tuple[str, str, float]]:
    try:
        info = cast(dict[str, float], redis.info())
    except ResponseError:  # this user may not run INFO
        return
    yield "memory_bytes", "Memory that Redis uses.", info["used_memory"]
    yield "memory_limit_bytes", "Memory at which Redis takes no more writes, or 0.", info.get("maxmemory", 0)
    if (size := info.get("aof_current_size")) is not None:
        yield "aof_bytes", "Size of Redis's append-only file.", size
    if (free := _free_disk(redis)) is not None:
        yield "disk_free_bytes", "Free space where Redis keeps its data, if it runs on this host.", free


def _free_disk(redis: Redis) -> int | None:
    """Return the free bytes on the server's disk; None unless it is ours too, as a Unix socket shows."""
    if "path" not in redis.connection_pool.connection_kwargs:
        return None
    try:
        return shutil.disk_usage(cast(dict[str, str], redis.config_get("dir"))["dir"]).free
    except (ResponseError, OSError):  # its user may not run CONFIG GET, or ours may not look there
        return None
