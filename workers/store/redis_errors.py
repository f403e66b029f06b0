"""Texts for what is wrong with a Redis server: what an error or a setting means for credits, and what to do.

Pure. The log at start-up, ``credits check`` and ``/healthz`` all use these texts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ClusterError,
    ConnectionError,  # noqa: A004 - Redis's own, and no relative of Python's
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.sentinel import MasterNotFoundError


class DiskFullError(RedisError):
    """The disk of the embedded server is full; the text says so, and what to do."""


_OLDEST = (6, 2)  # the oldest version with which our scripts and RQ were tested
_NEARLY_FULL = 0.9  # leaves time to act before it refuses writes

_READ_ONLY = "it is a read-only replica, so it takes no writes (point REDIS_URL at the primary)"
_FULL = "its memory is full, so it takes no writes (raise maxmemory, or see what fills it)"
_CLUSTER = "it is a cluster, which spreads the keys over its nodes (use a server without cluster mode)"
_UNDECLARED = (
    "it lets scripts use only keys that they declare, and ours cannot name all of them (use Redis or Valkey; "
    "Dragonfly can be started with --default_lua_flags=allow-undeclared-keys)"
)
_GONE = "it cannot be reached (is it up? If REDIS_URL is set, is it right?)"
_FORBIDDEN = "its user may not do what we need (see its ACL)"
_DENIED = "it refuses the user or the password (see REDIS_URL)"

_SELF_SIGNED = (
    "its certificate is self-signed (CREDITS_REDIS_CA=/path/to/it.pem trusts it; "
    "CREDITS_REDIS_TLS_VERIFY=none checks no certificate, for hosts such as Heroku)"
)
_OTHER_HOST = (
    "its certificate is for another host than the one that REDIS_URL names (write a name that it has)"
)

# The text may be anywhere in the error: in a pipeline, or in a script before Redis 7, it does not come first.
_BY_MARK = {
    "No space left on device": "the disk is full, so it takes no writes (make room on the disk of its data)",
    "MISCONF": "it cannot write to its disk, so it takes no writes (is the disk full? Its log says more)",
    "UNBLOCKED": "it is no longer the primary (wait for the fail-over, or point REDIS_URL at the new one)",
    "NOREPLICAS": "it takes no writes, because it has fewer replicas than min-replicas-to-write asks for",
    "undeclared key": _UNDECLARED,
    "-READONLY": _READ_ONLY,
    "-OOM": _FULL,
    "ACL failure in script": _FORBIDDEN,
    "The user executing the script can't": _FORBIDDEN,  # before Redis 7
    "self-signed certificate (": _SELF_SIGNED,
    "self signed certificate (": _SELF_SIGNED,  # OpenSSL before 3
    "Hostname mismatch": _OTHER_HOST,
    "IP address mismatch": _OTHER_HOST,
    "certificate has expired": "its certificate has expired (renew it, or ask the host of Redis)",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is not trusted (CREDITS_REDIS_CA=/path/to/ca.pem names a CA of your own; "
        "CREDITS_REDIS_TLS_VERIFY=none checks no certificate, for hosts such as Heroku)"
    ),
    "max number of clients": (
        "it has as many clients as it allows (raise maxclients, take a larger plan, or run fewer processes; "
        "CREDITS_REDIS_CONNECTIONS limits the connections of each)"
    ),
    "WRONG_VERSION_NUMBER": "it does not speak TLS (write redis:// in REDIS_URL, not rediss://)",
}

_BY_CLASS: Mapping[type[Exception], str] = {
    ReadOnlyError: _READ_ONLY,
    OutOfMemoryError: _FULL,
    BusyLoadingError: "it is still loading its data (wait: it answers when it is done)",
    AuthenticationError: _DENIED,
    AuthorizationError: _DENIED,
    NoPermissionError: _FORBIDDEN,
    AskError: _CLUSTER,
    ClusterCrossSlotError: _CLUSTER,
    MasterNotFoundError: (
        "no sentinel names the primary (are they up, and do they know the master name in REDIS_URL?)"
    ),
    MasterDownError: "it is a replica that has lost its primary (point REDIS_URL at the primary)",
    ClusterDownError: "its cluster is down",
    TimeoutError: "it does not answer in time",
    ConnectionError: _GONE,
    OSError: _GONE,
}


def describe_redis_error(error: Exception) -> str:
    """Return what an error of Redis means and what to do, followed by Redis's own text."""
    text = str(error)
    if isinstance(error, DiskFullError):
        return text
    # What a sentinel has answered is described already.
    marks = {} if isinstance(error, MasterNotFoundError) else _BY_MARK
    by_mark = [meaning for mark, meaning in marks.items() if mark in text]
    by_class = [meaning for kind, meaning in _BY_CLASS.items() if isinstance(error, kind)]
    by_kind = (
        "it refuses a command" if isinstance(error, RedisError) else _GONE
    )  # the event loop's own errors
    meaning, *_ = [*by_mark, *by_class, by_kind]
    return f"{meaning}: {text}"


def is_clear(error: Exception) -> bool:
    """Return whether an error's own text says what is wrong, beyond that there is no connection."""
    return any(mark in str(error) for mark in _BY_MARK)


def describe_wrong_kind(error: Exception) -> str | None:
    """Return why a server of this kind cannot be used at all; None if the error says nothing about that."""
    is_wrong = isinstance(error, ClusterError | ClusterCrossSlotError | MovedError)
    is_wrong = is_wrong or "undeclared key" in str(error)
    return describe_redis_error(error) if is_wrong else None


def is_unknown_command(error: Exception) -> bool:
    """Return whether a server does not know a command."""
    return "unknown command" in str(error).lower()


def find_server_errors(info: Mapping[str, Any], settings: Mapping[str, str]) -> Iterator[str]:
    """Yield why a server could lose data; ``settings`` are empty if it hides them."""
    if info.get("cluster_enabled") == 1:
        yield _CLUSTER
    if info.get("role") == "slave" and info.get("slave_read_only") == 0:
        yield "it is a replica: its primary overwrites what we write to it (point REDIS_URL at the primary)"
    if _version(info) < _OLDEST:
        yield f"its version {info.get('redis_version')} is too old (6.2 or newer is needed)"
    if info.get("aof_enabled") != 1:
        yield _without_aof(info, settings)
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"maxmemory-policy is {policy}: it may drop the ledger (set noeviction)"


def find_server_warnings(info: Mapping[str, Any], settings: Mapping[str, str]) -> Iterator[str]:
    """Yield what may become a problem."""
    if info.get("aof_enabled") == 1 and settings.get("appendfsync") == "no":
        yield (
            "appendfsync is no: a power failure loses what was accepted in the last half minute "
            "(set appendfsync everysec, or always)"
        )
    # INFO counts the good replicas only where min-replicas-to-write is set.
    if int(info.get("connected_slaves", 0)) and "min_slaves_good_slaves" not in info:
        yield (
            "it has replicas, but min-replicas-to-write is 0: a fail-over loses what it accepted meanwhile "
            "(set min-replicas-to-write 1)"
        )
    most = int(info.get("maxmemory", 0))
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    if most and _NEARLY_FULL <= used / most < 1:
        yield (
            f"its memory is nearly full, {used / most:.0%} of maxmemory: once full, it takes no writes "
            "(raise maxmemory, or see what fills it)"
        )


def _without_aof(info: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    if settings.get("save") == "":
        loses = "and it takes no snapshots: a restart loses everything, the ledger included"
    elif info.get("rdb_last_bgsave_status", "ok") != "ok":
        loses = "and its last snapshot failed: a restart loses what was accepted since the one before"
    else:
        loses = "so a restart loses what was accepted since the last snapshot, minutes or hours ago"
    return f"appendonly is off, {loses} (set appendonly yes)"


def _version(info: Mapping[str, Any]) -> tuple[int, ...]:
    """Return (7, 2) for 7.2.4; a very new version if the server does not name one."""
    try:
        return tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    except (KeyError, ValueError):
        return (99,)
