"""Redis clients: one for workers and commands, one for the receiver."""

import redis.asyncio
from redis import Redis
from redis.exceptions import RedisError

from config.errors import ConfigError
from workers.core.envelope import STORED_TYPES
from workers.store.intake import Intake
from workers.timings import DEFAULT_TIMINGS

# In a burst, requests wait for a free connection. More connections would not help: Redis runs one command
# at a time.
_CONNECTIONS = 50

# A connection on which nothing has come for so long is tried with a PING before its next use.
_HEALTH_CHECK_SECONDS = 10


def connect(url: str, *, timeout_seconds: float = DEFAULT_TIMINGS.worker_redis_seconds) -> Redis:
    """Return a client, which connects when it is first used; the receiver passes a shorter timeout.

    ConfigError if the URL has options (``?name=value``) that redis-py does not know.
    """
    try:
        client = Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
        client.connection_pool.make_connection()  # opens nothing, but fails now if it ever will
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(
            f"REDIS_URL: its options, after the question mark, cannot be used: {error}"
        ) from None
    return client


def leave_server(client: Redis) -> None:
    """Close idle connections, so that the next ones go to the server that the name stands for now.

    After a fail-over, the server that was the primary still answers, but takes no writes.
    """
    client.connection_pool.disconnect(inuse_connections=False)


def intake_for(
    url: str,
    *,
    types: frozenset[str] = STORED_TYPES,
    timeout_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds,
) -> Intake:
    """Return the receiver's access to Redis, which connects when it is first used.

    It stores webhooks of ``types``, and bodies that are no webhooks.
    """
    return Intake(connect_async(url, timeout_seconds=timeout_seconds), types, within_seconds=timeout_seconds)


def connect_async(
    url: str, *, timeout_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds
) -> redis.asyncio.Redis:
    """Return a client for event loops, which connects when it is first used."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        health_check_interval=_HEALTH_CHECK_SECONDS,
    )
    return redis.asyncio.Redis.from_pool(pool)
