"""What a server says of itself, in words: each fault by itself, and none where all is well."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisGoneError
from redis.exceptions import TimeoutError as RedisSlowError
from redis.sentinel import MasterNotFoundError

from workers.monitoring.health import examine
from workers.store.redis_errors import describe_redis_error, find_server_errors, find_server_warnings

GOOD = {
    "redis_version": "7.2.4",
    "aof_enabled": 1,
    "maxmemory_policy": "noeviction",
    "maxmemory": 0,
    "used_memory": 1000,
    "role": "master",
    "cluster_enabled": 0,
}
SHOWN = {"save": "3600 1", "appendfsync": "everysec"}


def test_what_a_sentinel_has_answered_is_described_once() -> None:
    answered = describe_redis_error(RedisGoneError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer"))
    error = MasterNotFoundError(f"sentinel one:26379: {answered}")
    assert describe_redis_error(error).count("its certificate") == 1
    assert describe_redis_error(error).startswith("no sentinel names the primary")


def said(info: Mapping[str, Any], settings: Mapping[str, str] = SHOWN) -> list[str]:
    """Return the errors and warnings for a server that is good except for this."""
    both = {**GOOD, **info}
    return [*find_server_errors(both, settings), *find_server_warnings(both, settings)]


@pytest.mark.parametrize("settings", [SHOWN, {}, {"appendfsync": "always", "save": ""}])
def test_a_good_server_has_no_findings_even_if_it_hides_its_settings(
    settings: Mapping[str, str],
) -> None:
    assert said({}, settings) == []


def test_a_server_that_shows_little_has_no_invented_findings() -> None:
    assert list(find_server_errors({"aof_enabled": 1}, {})) == []
    assert list(find_server_warnings({"aof_enabled": 1}, {})) == []


@pytest.mark.parametrize(
    ("info", "settings", "words"),
    [
        ({"aof_enabled": 0}, {"save": ""}, "a restart loses everything"),
        ({"aof_enabled": 0}, SHOWN, "since the last snapshot"),
        ({"aof_enabled": 0}, {}, "since the last snapshot"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, SHOWN, "its last snapshot failed"),
        ({"maxmemory_policy": "allkeys-lru"}, SHOWN, "allkeys-lru: it may drop the ledger (set noeviction)"),
        ({"maxmemory_policy": "volatile-ttl"}, SHOWN, "volatile-ttl"),
        ({"role": "slave", "slave_read_only": 0}, SHOWN, "its primary overwrites what we write"),
        ({"cluster_enabled": 1}, SHOWN, "without cluster mode"),
        ({"redis_version": "6.0.16"}, SHOWN, "6.0.16 is too old"),
        ({}, {"appendfsync": "no"}, "appendfsync is no"),
        ({"connected_slaves": 1}, SHOWN, "min-replicas-to-write is 0"),
        ({"maxmemory": 1000, "used_memory": 900}, SHOWN, "90% of maxmemory"),
    ],
)
def test_each_fault_is_named_with_what_to_do(
    info: Mapping[str, Any], settings: Mapping[str, str], words: str
) -> None:
    (line,) = said(info, settings)
    assert words in line
    assert line.endswith(")")


def test_a_server_with_several_faults_names_them_all() -> None:
    assert len(said({"aof_enabled": 0, "maxmemory_policy": "allkeys-lru", "cluster_enabled": 1})) == 3


def test_memory_counts_as_nearly_full_from_nine_tenths() -> None:
    assert said({"maxmemory": 1000, "used_memory": 899}) == []
    assert said({"maxmemory": 1000, "used_memory": 950, "mem_not_counted_for_evict": 100}) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ReadOnlyError("You can't write against a read only replica."), "read-only replica"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "memory is full"),
        (ResponseError("MISCONF Errors writing to the AOF file: Disk is full"), "cannot write to its disk"),
        (ResponseError("Command # 1 (HSET a) of pipeline caused error: MISCONF"), "cannot write to its disk"),
        (ResponseError("Error running script: 79: -READONLY You can't write"), "read-only replica"),
        (ResponseError("Error running script: 79: -OOM command not allowed"), "memory is full"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "fewer replicas"),
        (ResponseError("UNBLOCKED force unblock from blocking operation"), "no longer the primary"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "still loading"),
        (AuthenticationError("Authentication required."), "refuses the user or the password"),
        (NoPermissionError("User x has no permissions to run the 'hset' command"), "see its ACL"),
        (ClusterDownError("The cluster is down"), "cluster is down"),
        (MasterDownError("Link with MASTER is down"), "lost its primary"),
        (RedisSlowError("Timeout reading from socket"), "does not answer in time"),
        (RedisGoneError("Error 111 connecting to localhost:6379. Connection refused."), "cannot be reached"),
        (RedisGoneError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "CREDITS_REDIS_CA="),
        (RedisGoneError("CERTIFICATE_VERIFY_FAILED: self signed certificate (_ssl.c:1)"), "TLS_VERIFY=none"),
        (RedisGoneError("[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch"), "for another host than"),
        (RedisGoneError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired"), "has expired"),
        (RedisGoneError("max number of clients reached"), "as many clients as it allows"),
        (ResponseError("MISCONF Errors writing to the file: No space left on device"), "the disk is full"),
        (RedisGoneError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "does not speak TLS"),
        (FileNotFoundError("redis.sock"), "cannot be reached (is it up? If REDIS_URL is set, is it right?)"),
        (ResponseError("BUSY Redis is busy running a script."), "it refuses a command"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_refusal_is_explained_and_keeps_redis_own_words(error: Exception, words: str) -> None:
    assert words in describe_redis_error(error)
    assert describe_redis_error(error).endswith(f": {error}")


class Hanging:
    """A Redis that never answers: each command ends in a timeout."""

    asked = 0
    connection_pool = SimpleNamespace(connection_kwargs={})

    def ping(self) -> None:
        self.asked += 1
        raise RedisSlowError("Timeout reading from socket")


def test_a_redis_that_does_not_answer_is_asked_once() -> None:
    hanging = Hanging()
    checks = examine(cast(Redis, hanging))
    assert [one.name for one in checks] == [
        "redis",
        "clock",
        "ledger",
        "workers",
        "waiting",
        "instalments",
        "rules",
        "polar",
        "endpoint",
        "reconciler",
    ]
    assert all(not one.ok and "Timeout reading" in one.detail for one in checks)
    assert hanging.asked == 1
