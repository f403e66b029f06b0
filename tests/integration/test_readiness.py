"""``/readyz`` says ready only where a webhook would be stored."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from tests.support.real_stores import accept, check_readiness
from tests.support.redis_servers import OURS, Server, one_node_cluster, own_redis
from workers.errors import StoreUnavailableError
from workers.store.intake import ACCEPTING, Disposition
from workers.store.server_check import redis_findings

ALL = ("+@all",)


@pytest.mark.parametrize(
    ("commands", "keys"),
    [
        (("+@all", "-evalsha"), OURS),
        (("+@all", "-script|load"), OURS),
        (("+@all", "-zadd"), OURS),
        (("+@all", "-rpush"), OURS),
        (ALL, ("credits:*",)),
        (ALL, ("rq:*",)),
    ],
    ids=" ".join,
)
def test_a_user_who_could_store_no_webhook_is_not_ready(
    tmp_path: Path, commands: Sequence[str], keys: Sequence[str]
) -> None:
    with own_redis(tmp_path) as server:
        url = server.add_user("shop", "s3cret", commands, keys)
        for refused in (lambda: accept(url, "msg-1"), lambda: check_readiness(url)):
            with pytest.raises(StoreUnavailableError, match="its user may not do what we need"):
                refused()


def test_a_cluster_is_not_ready_because_it_spreads_the_keys(tmp_path: Path) -> None:
    with one_node_cluster(tmp_path) as server:
        for refused in (lambda: accept(server.url, "msg-1"), lambda: check_readiness(server.url)):
            with pytest.raises(StoreUnavailableError, match="it is a cluster"):
                refused()


def test_a_receiver_is_ready_where_a_webhook_is_stored_and_leaves_no_trace(
    redis: Redis, redis_url: str
) -> None:
    check_readiness(redis_url)
    assert redis.keys() == [b"credits:ready"]
    assert accept(redis_url, "msg-1") == [Disposition.ACCEPTED]


def test_all_commands_that_storing_needs_are_known(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        accept(server.url, "msg-1", "msg-1")
        with server.client() as redis:
            used = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
    of_the_client = {"evalsha", "script|load", "hello", "config|get", "info", "ping"}
    assert {name for name in used - of_the_client if not name.startswith("client|")} == set(ACCEPTING)


@pytest.mark.parametrize(
    ("denied", "advice"),
    [
        (["-evalsha"], "its user may not run evalsha (ACL: +evalsha)"),
        (["-script|load"], "its user may not run script|load (ACL: +script|load)"),
        (["-@scripting"], "its user may not run evalsha, script|load (ACL: +evalsha +script|load)"),
    ],
)
def test_check_names_the_permission_that_scripts_need(
    tmp_path: Path, denied: Sequence[str], advice: str
) -> None:
    with own_redis(tmp_path) as server:
        assert accept(server.url, "msg-1")  # so that Redis has a script already
        assert findings(server, "+@all") == []
        assert findings(server, "+@all", *denied) == [advice]


def findings(server: Server, *commands: str) -> list[str]:
    with Redis.from_url(server.add_user("shop", "s3cret", commands)) as redis:
        return [one.detail for one in redis_findings(redis)]
