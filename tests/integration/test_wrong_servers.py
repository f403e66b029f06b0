"""Servers that can never work are refused in words, by each command that would use them and by check."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.cli_session import NOWHERE
from tests.support.processes import credits_in
from tests.support.redis_servers import answering, one_node_cluster, own_redis
from workers.store.server_check import find_wrong_kind, redis_findings

CLUSTER = "it is a cluster, which spreads the keys over its nodes"
UNDECLARED = "it lets scripts use only keys that they declare"
# As Dragonfly says it in its usual mode.
DRAGONFLYS = "ERR Error running script (call to 1a2b): @user_script:10: script tried accessing undeclared key"

LOADING = "LOADING Redis is loading the dataset in memory"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with one_node_cluster(tmp_path_factory.mktemp("cluster")) as server:
        yield server.url


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        own_redis(tmp_path_factory.mktemp("strict")) as server,
        answering(server, b"EVALSHA", DRAGONFLYS) as url,
    ):
        yield url


@pytest.fixture(params=["cluster", "strict"])
def refused(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the URL of a server, and what is said of it."""
    words = {"cluster": CLUSTER, "strict": UNDECLARED}[request.param]
    return request.getfixturevalue(request.param), words


def test_it_is_one_error_whatever_else_would_fail_on_it(refused: tuple[str, str]) -> None:
    url, words = refused
    with Redis.from_url(url) as redis:
        (found,) = redis_findings(redis)
    assert (found.level, words in found.detail) == ("error", True), found.detail


@pytest.mark.parametrize("command", ["up", "serve", "work", "work --burst"])
def test_a_service_does_not_start_on_it(refused: tuple[str, str], command: str, tmp_path: Path) -> None:
    url, words = refused
    done = credits_in(tmp_path, NOWHERE, REDIS_URL=url, LOG_LEVEL="error").run(*command.split())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"credits: REDIS_URL: {words}")


def test_check_says_so(refused: tuple[str, str], tmp_path: Path) -> None:
    url, words = refused
    done = credits_in(tmp_path, NOWHERE, REDIS_URL=url).run("check", "--offline", "--json")
    (detail,) = [one["detail"] for one in json.loads(done.stdout) if one["what"] == "redis"]
    assert done.returncode == 1
    assert words in detail


def test_a_server_that_is_away_or_refuses_scripts_for_now_is_not_of_the_wrong_kind(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        with server.client() as redis:
            assert find_wrong_kind(redis) is None
        with Redis.from_url(server.add_user("shop", "s3cret", ["+@all", "-@scripting"])) as redis:
            assert find_wrong_kind(redis) is None
        with answering(server, b"EVALSHA", LOADING) as url, Redis.from_url(url, retry=None) as redis:
            assert find_wrong_kind(redis) is None
    with Redis.from_url(server.url) as redis:
        assert find_wrong_kind(redis) is None
