"""Redis clients for an event loop: those of the receiver and of the storefront API."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.connection import HiredisRespSerializer

from config.redis_urls import RedisOptions, is_sentinel_url, read_sentinel_url
from workers.core.envelope import STORED_TYPES
from workers.store.connect import API, FOR_ORDERS, STORING, USUAL, pool_options, share_of
from workers.store.intake import Intake
from workers.store.sentinels import async_sentinel_pool
from workers.timings import DEFAULT_TIMINGS

# A connection that has been silent for so long is tried with a PING before its next use.
_HEALTH_CHECK_SECONDS = 10


def intake_for(
    url: str,
    options: RedisOptions = USUAL,
    *,
    types: frozenset[str] = STORED_TYPES,
    timeout_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds,
    telling: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Intake:
    """Return the receiver's access to Redis, which connects when it is first used.

    It stores webhooks of ``types``, and bodies that are no webhooks. It tells the outcomes of those that were
    stored together within one ``telling``.
    """
    client = _connect_async(url, options, timeout_seconds, share_of(STORING, API, options))
    return Intake(client, types, within_seconds=timeout_seconds, telling=telling)


def connect_api(
    url: str,
    options: RedisOptions = USUAL,
    *,
    timeout_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds,
) -> redis.asyncio.Redis:
    """Return the storefront API's client for everything but storing, which connects when it is first used."""
    return _connect_async(url, options, timeout_seconds, share_of(FOR_ORDERS, API, options))


def _connect_async(url: str, options: RedisOptions, timeout_seconds: float, most: int) -> redis.asyncio.Redis:
    shared = pool_options(url, options, timeout_seconds, most)
    shared["health_check_interval"] = _HEALTH_CHECK_SECONDS
    if is_sentinel_url(url):
        pool = async_sentinel_pool(read_sentinel_url(url), **shared)
    else:
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, **shared)
    pool.connection_class = type("Connection", (_PackingInC, pool.connection_class), {})
    return redis.asyncio.Redis.from_pool(pool)


class _PackingInC:
    """Packs commands with hiredis, as redis-py does only for threads."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return a command as it is sent."""
        if args[0] == "EVALSHA":  # with arguments for many webhooks, at each of which redis-py would look
            return [hiredis.pack_command(args)]
        return cast(list[bytes], HiredisRespSerializer().pack(*args))
