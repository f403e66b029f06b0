"""Pools of connections to the primary that sentinels name: they ask again for each new connection.

redis-py's own pools for sentinels do not wait until a connection is free. These do.
"""

from collections.abc import Mapping
from typing import Any, cast

from redis import BlockingConnectionPool, Redis
from redis import asyncio as aio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.asyncio.sentinel import SentinelManagedConnection as AsyncManagedConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection as AsyncManagedSSLConnection
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from config.redis_urls import SentinelUrl, uses_tls
from workers.store.redis_errors import describe_redis_error

# A sentinel's share of the time for an answer: two sentinels may be dead, and each costs this much.
_SHARE_OF_TIME = 0.2

_States = dict[str, dict[str, Any]]  # what a sentinel knows of each primary, by its name


class _Sentinels(Sentinel):
    """Sentinels that are asked rarely: no connection to them stays open. An error says what is wrong."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and port of the primary; MasterNotFoundError if no sentinel names one."""
        failures: dict[str, Exception] = {}
        for one in list(self.sentinels):
            try:
                state = cast(_States, one.sentinel_masters()).get(service_name)
            except (RedisError, OSError) as error:
                failures[_name(one)] = error
                continue
            finally:
                one.connection_pool.disconnect(inuse_connections=False)
            if state and self.check_master_state(state, service_name):
                return state["ip"], state["port"]
        raise _not_found(service_name, failures)


class _AsyncSentinels(AsyncSentinel):
    """The same for an event loop."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and port of the primary; MasterNotFoundError if no sentinel names one."""
        failures: dict[str, Exception] = {}
        for one in list(self.sentinels):
            try:
                state = cast(_States, await one.sentinel_masters()).get(service_name)
            except (RedisError, OSError) as error:
                failures[_name(one)] = error
                continue
            finally:
                await one.connection_pool.disconnect(inuse_connections=False)
            if state and self.check_master_state(state, service_name):
                return state["ip"], state["port"]
        raise _not_found(service_name, failures)


def _name(sentinel: Redis | aio.Redis) -> str:
    where = sentinel.connection_pool.connection_kwargs
    return f"{where['host']}:{where['port']}"


def _not_found(master: str, failures: Mapping[str, Exception]) -> MasterNotFoundError:
    """Return the error for a primary that no sentinel names: why the first of them gave no answer, if so."""
    for sentinel, error in failures.items():
        return MasterNotFoundError(f"sentinel {sentinel}: {describe_redis_error(error)}")
    return MasterNotFoundError(f"no primary named {master} is up")


class _Pool(SentinelConnectionPool, BlockingConnectionPool):
    """A pool that waits for a free connection, as the pool for a single server does."""


class _AsyncPool(AsyncSentinelConnectionPool, aio.BlockingConnectionPool):
    """The same for an event loop."""


def sentinel_pool(url: SentinelUrl, **options: Any) -> BlockingConnectionPool:
    """Return a pool of connections to the primary; ``options`` are those of the pool for a single server."""
    server = {**options, **parse_url(url.server_url)}
    asked = _Sentinels(url.sentinels, sentinel_kwargs=_for_sentinels(url, server, Retry(NoBackoff(), 0)))
    managed = SentinelManagedSSLConnection if uses_tls(url.server_url) else SentinelManagedConnection
    return _Pool(url.master, asked, **server | {"connection_class": managed})


def async_sentinel_pool(url: SentinelUrl, **options: Any) -> aio.BlockingConnectionPool:
    """Return the same pool for an event loop."""
    server = {**options, **parse_url(url.server_url)}
    asked = _AsyncSentinels(
        url.sentinels, sentinel_kwargs=_for_sentinels(url, server, AsyncRetry(NoBackoff(), 0))
    )
    managed = AsyncManagedSSLConnection if uses_tls(url.server_url) else AsyncManagedConnection
    return _AsyncPool(url.master, asked, **server | {"connection_class": managed})


def _for_sentinels(url: SentinelUrl, server: Mapping[str, Any], no_retry: object) -> dict[str, Any]:
    """Return how to connect to the sentinels: with the server's TLS options, and credentials of their own."""
    tls = {name: value for name, value in server.items() if name.startswith("ssl_")}
    seconds = _SHARE_OF_TIME * server["socket_timeout"]
    return {
        **tls,
        **url.credentials,
        "ssl": uses_tls(url.server_url),
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": no_retry,  # the next sentinel is asked instead
    }
