"""Checks that a Redis server takes writes, keeps them, and permits the commands that we need."""

from collections.abc import Iterator, Sequence
from typing import cast

from redis import ConnectionPool, Redis
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - Redis's own, and no relative of Python's
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from config.redis_urls import RedisOptions, accepts_any_certificate, uses_tls
from workers.core.clocks import CLOCK_ADVICE, describe_difference
from workers.core.findings import Finding
from workers.store import keys
from workers.store.clock import clock_ahead
from workers.store.connect import leave_server
from workers.store.full_disk import describe_trouble, find_full_disk
from workers.store.redis_errors import (
    describe_redis_error,
    describe_wrong_kind,
    find_server_errors,
    find_server_warnings,
    is_clear,
    is_unknown_command,
)
from workers.store.scripts import load_script
from workers.store.wrong_scheme import find_wrong_scheme

_READY_SECONDS = 10

# Every command that we and RQ use, in scripts or directly.
COMMANDS = (
    "blmove", "del", "exec", "exists", "expire", "get", "hdel", "hexists", "hget", "hgetall", "hincrby",
    "hincrbyfloat", "hkeys", "hlen", "hmget", "hscan", "hset", "hsetnx", "llen", "lmove", "lrange",
    "lrem", "mget", "mset", "multi", "persist", "pexpire", "pexpireat", "ping", "pttl", "rpush", "sadd",
    "scard", "set", "smembers", "srem", "time", "ttl", "unwatch", "watch", "xadd", "xlen", "xrange",
    "xrevrange", "xtrim", "zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrem", "zremrangebyrank",
    "zremrangebyscore", "zrevrangebyscore", "zscan", "zscore",
)  # fmt: skip
_ON_KEYS = set(COMMANDS) - {"exec", "multi", "ping", "time", "unwatch"}


def redis_findings(redis: Redis) -> list[Finding]:
    """Return the problems of a server as errors and warnings, and ``ok`` for what could not be looked at.

    A server that does not answer is one error.
    """
    try:
        return list(_findings(redis))
    except (RedisError, OSError) as error:
        return [_error(describe_no_answer(redis, error))]


def describe_no_answer(redis: Redis, error: Exception) -> str:
    """Return why a server does not answer, after a second look at it."""
    is_told = not isinstance(error, ConnectionError | TimeoutError | OSError) or is_clear(error)
    return (None if is_told else find_wrong_scheme(redis)) or describe_trouble(redis, error)


def tls_findings(url: str, options: RedisOptions) -> Iterator[Finding]:
    """Yield a warning if no certificate is checked, or if settings for TLS have no effect."""
    if accepts_any_certificate(url, options):
        detail = (
            "its certificate is not checked (CREDITS_REDIS_TLS_VERIFY=none, or ssl_cert_reqs in REDIS_URL): "
            "anybody in between could read and change the ledger; CREDITS_REDIS_CA names a CA of your own"
        )
        yield Finding(level="warning", what="redis", detail=detail)
    elif not uses_tls(url) and (options.ca is not None or not options.verifies_tls):
        detail = (
            "CREDITS_REDIS_CA and CREDITS_REDIS_TLS_VERIFY have no effect: REDIS_URL asks for no TLS "
            "(write rediss://)"
        )
        yield Finding(level="warning", what="redis", detail=detail)


def find_wrong_kind(redis: Redis) -> str | None:
    """Return why our scripts cannot run on a server of this kind, such as a cluster.

    None if they can, or if the server does not answer.
    """
    ask = redis.register_script(load_script("kind"))
    try:
        ask(keys=[keys.DUE, keys.COUNTS], args=[keys.READY])
    except (RedisError, OSError) as error:
        return describe_wrong_kind(error) or (
            _describe_sentinel(redis) if is_unknown_command(error) else None
        )
    return None


def _describe_sentinel(redis: Redis) -> str | None:
    """Return what to write instead if a server is a Sentinel, else None."""
    pool = redis.connection_pool
    options = {**pool.connection_kwargs, "db": 0}  # a Sentinel has no databases to select
    with Redis.from_pool(ConnectionPool(connection_class=pool.connection_class, **options)) as sentinel:
        try:
            names = list(cast(dict[str, object], sentinel.sentinel_masters()))
        except (RedisError, OSError):  # only a Sentinel knows this command
            return None
    host, port, name = options.get("host"), options.get("port"), (names or ["<master name>"])[0]
    return (
        "it is a Sentinel, which names the primary and stores nothing "
        f"(write REDIS_URL=redis+sentinel://{host}:{port}/{name}/0)"
    )


def clock_findings(redis: Redis) -> list[Finding]:
    """Return a warning if this host's clock differs from Redis's, which workers and alerts go by."""
    try:
        problem = describe_difference(clock_ahead(redis), "Redis's")
    except (RedisError, OSError) as error:
        return [_error(describe_redis_error(error))]
    if problem is None:
        return [Finding(level="ok", what="clock", detail="agrees with Redis's")]
    return [Finding(level="warning", what="clock", detail=f"{problem}; {CLOCK_ADVICE}")]


def _findings(redis: Redis) -> Iterator[Finding]:
    if reason := find_full_disk(redis) or find_wrong_kind(redis):
        yield _error(reason)
        return
    info, settings = _info(redis), _settings(redis)
    missing = [_error(detail) for detail in _missing_permissions(redis)]
    yield from missing
    if not missing:
        yield from _missing_channel(redis)
    try:
        redis.set(keys.READY, 1, ex=_READY_SECONDS)
    except NoPermissionError as error:
        if not missing:
            yield _error(describe_redis_error(error))
    except ResponseError as error:
        leave_server(redis)
        yield _error(describe_redis_error(error))
    if info is None:
        detail = "its user may not run info, so whether it keeps its data cannot be checked (ACL: +info)"
        yield Finding(level="warning", what="redis", detail=detail)
        return
    yield from map(_error, find_server_errors(info, settings or {}))
    for warning in find_server_warnings(info, settings or {}):
        yield Finding(level="warning", what="redis", detail=warning)
    if settings is None:
        detail = "it refuses CONFIG GET, so appendfsync cannot be checked (ACL: +config|get)"
        yield Finding(level="ok", what="redis", detail=detail)


def _info(redis: Redis) -> dict[str, object] | None:
    try:
        return cast(dict[str, object], redis.info())
    except NoPermissionError:
        return None


def _settings(redis: Redis) -> dict[str, str] | None:
    """Return the settings that INFO does not show; None if the server's provider hides them."""
    try:
        return {
            name: value
            for asked in ("save", "appendfsync")
            for name, value in cast(dict[str, str], redis.config_get(asked)).items()
        }
    except ResponseError:
        return None


def _missing_permissions(redis: Redis) -> Iterator[str]:
    """Yield everything that our user may not do. In use, the errors would come one by one."""
    if missing := _missing_for_scripts(redis):
        yield _not_permitted(missing)  # the other permissions are read by a script
        return
    ask = redis.register_script(load_script("permissions"))
    denied = {prefix: _names(ask(args=[prefix, *COMMANDS])) for prefix in keys.PREFIXES}
    closed = [prefix for prefix in keys.PREFIXES if set(denied[prefix]) >= _ON_KEYS]
    for prefix in closed:
        yield f"its user may not use keys that begin with {prefix} (ACL: ~{prefix}*)"
    names = sorted({name for prefix in keys.PREFIXES if prefix not in closed for name in denied[prefix]})
    if names:
        yield _not_permitted(names)


def _missing_channel(redis: Redis) -> Iterator[Finding]:
    """Yield a warning if our user may not use the channel that wakes requests of the storefront API."""
    denied = redis.register_script(load_script("permissions"))(args=[keys.SETTLED, "publish", "subscribe"])
    if denied:
        detail = (
            f"its user may not use the channel {keys.SETTLED}, so the storefront API does not notice at once "
            f"that an order is settled (ACL: &{keys.SETTLED} +publish +subscribe)"
        )
        yield Finding(level="warning", what="redis", detail=detail)


def _missing_for_scripts(redis: Redis) -> list[str]:
    """Return which of the commands that run scripts our user may not run."""
    missing = []
    try:
        redis.evalsha("0" * 40, 0)
    except NoScriptError:  # there is no such script, as expected
        pass
    except NoPermissionError:
        missing.append("evalsha")
    try:
        redis.script_load(load_script("permissions"))
    except NoPermissionError:
        missing.append("script|load")
    return missing


def _not_permitted(names: Sequence[str]) -> str:
    return f"its user may not run {', '.join(names)} (ACL: {' '.join(f'+{name}' for name in names)})"


def _names(answer: list[bytes]) -> list[str]:
    return [name.decode() for name in answer]


def _error(detail: str) -> Finding:
    return Finding(level="error", what="redis", detail=detail)
