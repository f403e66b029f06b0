"""Findings about Redis servers: each setting that could lose credits is reported, with its fix."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import pytest
from redis import Redis

from tests.support.redis_servers import OURS, Server, own_redis
from workers.store.server_check import COMMANDS, redis_findings

FEW = 100  # blocks on the disk, which is full after some tens of KB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_redis(tmp_path) as started:
        yield started


def found(url: str) -> list[tuple[str, str]]:
    """Return the level and the text of each finding."""
    with Redis.from_url(url, socket_timeout=1) as redis:
        return [(one.level, one.detail) for one in redis_findings(redis)]


def user(server: Server, *commands: str, keys: Sequence[str] = OURS) -> str:
    return server.add_user("shop", "s3cret", commands, keys)


def test_a_durable_server_has_no_findings(server: Server) -> None:
    assert found(server.url) == []


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("appendonly", "no", "error", "and it takes no snapshots: a restart loses everything"),
        ("maxmemory-policy", "allkeys-lru", "error", "maxmemory-policy is allkeys-lru"),
        ("maxmemory", "1", "error", "its memory is full"),
        ("min-replicas-to-write", "1", "error", "fewer replicas"),
        ("appendfsync", "no", "warning", "appendfsync is no"),
    ],
)
def test_a_setting_that_could_lose_credits_is_reported(
    server: Server, name: str, value: str, level: str, words: str
) -> None:
    with server.client() as redis:
        redis.config_set(name, value)
    ((found_level, detail),) = found(server.url)
    assert (found_level, words in detail) == (level, True), detail


def test_snapshots_alone_lose_the_last_minutes(server: Server) -> None:
    with server.client() as redis:
        redis.config_set("appendonly", "no")
        redis.config_set("save", "3600 1")
    ((_, detail),) = found(server.url)
    assert "since the last snapshot" in detail


def test_memory_that_is_nearly_full_is_a_warning_before_it_is_an_error(server: Server) -> None:
    with server.client() as redis:
        redis.setrange("filler", 20_000_000, ".")  # so much that other changes do not matter
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.05))
    ((level, detail),) = found(server.url)
    assert level == "warning"
    assert "nearly full" in detail


@pytest.mark.parametrize(
    ("read_only", "words"), [("yes", "read-only replica"), ("no", "overwrites what we write")]
)
def test_a_replica_is_reported_whether_or_not_it_accepts_writes(
    server: Server, read_only: str, words: str
) -> None:
    with server.client() as redis:
        redis.config_set("replica-read-only", read_only)
        redis.replicaof("127.0.0.1", 1)  # nothing listens there, so nothing is ever copied
    ((level, detail),) = found(server.url)
    assert (level, words in detail) == ("error", True), detail


def test_a_full_disk_is_reported_while_it_is_full(tmp_path: Path) -> None:
    with own_redis(tmp_path, disk_blocks=FEW) as server:
        server.fill_disk()
        ((level, detail),) = found(server.url)
    assert level == "error"
    assert detail.startswith("the disk is full, so it takes no writes (make room")
    assert "MISCONF" in detail


def test_a_server_that_is_down_is_one_finding(server: Server) -> None:
    server.kill()
    ((level, detail),) = found(server.url)
    assert (level, "it cannot be reached" in detail) == ("error", True), detail


def test_a_wrong_password_is_reported_without_showing_it(server: Server) -> None:
    user(server, "+@all")
    ((level, detail),) = found(server.url_of("shop", "wr0ng"))
    assert (level, "refuses the user or the password" in detail) == ("error", True), detail
    assert "wr0ng" not in detail


def test_all_commands_that_a_user_may_not_run_are_reported_at_once(server: Server) -> None:
    url = user(server, "+@all", "-hset", "-zadd", "-set")
    ((level, detail),) = found(url)
    assert level == "error"
    assert detail == "its user may not run hset, set, zadd (ACL: +hset +set +zadd)"


def test_keys_that_a_user_may_not_use_are_reported(server: Server) -> None:
    ((level, detail),) = found(user(server, "+@all", keys=["credits:*"]))
    assert (level, detail) == ("error", "its user may not use keys that begin with rq: (ACL: ~rq:*)")


def test_a_user_who_may_not_use_the_channel_of_settlements_is_only_a_warning(server: Server) -> None:
    url = server.add_user("shop", "s3cret", ["+@all"], channels=[])
    ((level, detail),) = found(url)
    assert (level, "(ACL: &credits:settled +publish +subscribe)" in detail) == ("warning", True), detail
    assert found(server.add_user("other", "s3cret", ["+@all"], channels=["credits:settled"])) == []


def test_a_user_who_may_not_run_scripts_is_reported(server: Server) -> None:
    ((level, detail),) = found(user(server, "+@all", "-@scripting"))
    assert (level, "evalsha" in detail) == ("error", True), detail


def test_what_a_server_does_not_show_is_told(server: Server) -> None:
    hidden = [("ok", "it refuses CONFIG GET, so appendfsync cannot be checked (ACL: +config|get)")]
    assert found(user(server, "+@all", "-config")) == hidden
    ((level, detail),) = found(user(server, "+@all", "-@dangerous", "+config|get"))
    assert (level, "may not run info" in detail) == ("warning", True), detail


def test_every_command_of_our_scripts_is_checked() -> None:
    scripts = [one.read_text() for one in (files("workers.store") / "lua").iterdir()]
    call = re.compile(r"(?:redis\.call|call_with)\('([A-Z]+)'")
    used = {name for script in scripts for name in call.findall(script)}
    assert {name.lower() for name in used} <= set(COMMANDS)
