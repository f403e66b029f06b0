"""Redis clients: one for workers and commands, one for the receiver."""

import redis.asyncio
from redis import Redis
from redis.exceptions import RedisError

from config.errors import ConfigError
from workers.store.intake import Intake
from workers.timings import DEFAULT_TIMINGS

# A burst waits for one of these rather than be refused; Redis answers one at a time anyway.
_CONNECTIONS = 50


def connect(url: str, *, timeout_seconds: float = DEFAULT_TIMINGS.worker_redis_seconds) -> Redis:
    """Return a client for workers and commands, or with less patience for a receiver; it connects later.

    ConfigError if the URL's options (``?name=value``) are none that redis-py knows.
    """
    try:
        client = Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
        client.connection_pool.make_connection()  # it is only built: else it would fail at the first command
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(
            f"REDIS_URL: its options, after the question mark, cannot be used: {error}"
        ) from None
    return client


def intake_for(url: str, *, timeout_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds) -> Intake:
    """Return the receiver's door to Redis; connects when first used."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
    )
    return Intake(redis.asyncio.Redis.from_pool(pool))
