"""Redis clients for threads: those of workers, of commands, and of what runs beside an event loop."""

from typing import Any

from redis import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from config.errors import ConfigError
from config.redis_urls import RedisOptions, is_sentinel_url, read_sentinel_url, uses_tls
from workers.store.sentinels import sentinel_pool
from workers.timings import DEFAULT_TIMINGS

# How many connections are in use at the same time. More would not help: Redis runs one command at a time.
_WORKING = 3  # a drain leases, claims, sends and settles side by side; a fourth made none of it faster
SENDING = 1  # of credit events: its threads ask the storefront alone
STORING = 3  # storing, /readyz and the comparison of clocks
_BESIDE_STORING = 4  # of a receiver: /healthz, /metrics, the counts, the look for losses
FOR_ORDERS = 7  # of the storefront API: one listens for settlements, the others look up orders
_RECEIVER = STORING + _BESIDE_STORING
API = STORING + FOR_ORDERS + _WORKING

USUAL = RedisOptions()


def connect(
    url: str,
    options: RedisOptions = USUAL,
    *,
    timeout_seconds: float = DEFAULT_TIMINGS.worker_redis_seconds,
    most: int = _WORKING,
) -> Redis:
    """Return a client, which connects when it is first used, with ``most`` connections or fewer.

    ConfigError if the URL has options (``?name=value``) that redis-py does not know.
    """
    shared = pool_options(url, options, timeout_seconds, min(most, options.connections))
    try:
        if is_sentinel_url(url):
            pool = sentinel_pool(read_sentinel_url(url), **shared)
        else:
            pool = BlockingConnectionPool.from_url(url, **shared)
        pool.connection_class(**pool.connection_kwargs)  # opens nothing, but fails now if it ever will
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(
            f"REDIS_URL: its options, after the question mark, cannot be used: {error}"
        ) from None
    return Redis.from_pool(pool)


def connect_for_customers(url: str, options: RedisOptions, *, timeout_seconds: float) -> Redis:
    """Return the storefront API's client for what it asks of Polar."""
    most = share_of(_WORKING, API, options)
    return connect(url, options, timeout_seconds=timeout_seconds, most=most)


def connect_beside_intake(url: str, options: RedisOptions, *, timeout_seconds: float) -> Redis:
    """Return the receiver's client for everything but storing."""
    most = share_of(_BESIDE_STORING, _RECEIVER, options)
    return connect(url, options, timeout_seconds=timeout_seconds, most=most)


def leave_server(client: Redis) -> None:
    """Close idle connections, so that the next ones go to the server that the name stands for now.

    After a fail-over, the server that was the primary still answers, but takes no writes.
    """
    client.connection_pool.disconnect(inuse_connections=False)


def most_connections(
    options: RedisOptions, *, receivers: int = 0, workers: int = 0, apis: int = 0, senders: int = 0
) -> int:
    """Return how many connections these processes open at most; the background process counts as a worker."""
    storing = share_of(STORING, API, options)
    receiver = storing + share_of(_BESIDE_STORING, _RECEIVER, options)
    api = storing + share_of(FOR_ORDERS, API, options) + share_of(_WORKING, API, options)
    beside = workers * min(_WORKING, options.connections) + senders * SENDING
    return receivers * receiver + apis * api + beside


def share_of(wanted: int, of: int, options: RedisOptions) -> int:
    """Return a client's part of the limit, if it wants ``wanted`` of the ``of`` that its process wants."""
    return max(1, min(wanted, wanted * options.connections // of))


def pool_options(url: str, options: RedisOptions, timeout_seconds: float, most: int) -> dict[str, Any]:
    """Return the options of a pool."""
    tls: dict[str, object] = {}
    if uses_tls(url) and options.ca is not None:
        tls["ssl_ca_certs"] = str(options.ca)
    if uses_tls(url) and not options.verifies_tls:
        tls |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return {
        "max_connections": most,
        "timeout": timeout_seconds,  # how long to wait for a free connection
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        **tls,
    }
