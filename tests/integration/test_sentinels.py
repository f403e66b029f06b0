"""Sentinels name the primary: workers and receivers find it, and errors say what is wrong with them."""

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from tests.support.real_stores import accept, check_readiness
from tests.support.redis_servers import free_port
from tests.support.sentinels import Watched, watched_redis
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.connect import connect
from workers.store.connect_async import intake_for
from workers.store.intake import Disposition
from workers.store.redis_errors import describe_redis_error

USER = ("--user", "shop", "on", ">s3cret", "~credits:*", "~rq:*", "+@all")
GUARD = "gu4rd"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield one server with a user, and two sentinels that want a password of their own."""
    conf = [f"requirepass {GUARD}", f"sentinel sentinel-pass {GUARD}"]
    folder = tmp_path_factory.mktemp("watched")
    with watched_redis(folder, *USER, sentinels=2, replicas=0, conf=conf, password=GUARD) as running:
        yield running


def url_of(watched: Watched, options: str = f"?sentinel_password={GUARD}") -> str:
    return watched.url("shop:s3cret@", options=options)


def test_workers_and_receivers_find_the_primary_with_both_passwords(watched: Watched) -> None:
    assert accept(url_of(watched), "msg-1") == [Disposition.ACCEPTED]
    check_readiness(url_of(watched))
    with connect(url_of(watched)) as redis:
        assert redis.exists(keys.delivery("msg-1")) == 1
        assert redis.acl_whoami() == "shop"


def test_no_connection_to_a_sentinel_stays_open(watched: Watched) -> None:
    with connect(url_of(watched)) as redis:
        redis.ping()
        sentinels = redis.connection_pool.sentinel_manager.sentinels
        assert [one.connection_pool._available_connections for one in sentinels] != []
        free = [each for one in sentinels for each in one.connection_pool._available_connections]
        assert not any(each.is_connected for each in free)


def test_a_sentinel_that_is_dead_is_passed_over(watched: Watched) -> None:
    alive, dead = watched.sentinel_ports[0], free_port()
    hosts = f"127.0.0.1:{dead},127.0.0.1:{alive}"
    url = f"redis+sentinel://shop:s3cret@{hosts}/shop/0?sentinel_password={GUARD}"
    check_readiness(url)
    with connect(url) as redis:
        assert redis.ping()


def failure(url: str) -> str:
    """Return what is said of a URL that leads to no primary; a receiver and a worker say the same."""
    with connect(url) as redis, pytest.raises(RedisError) as caught:
        redis.ping()
    told = describe_redis_error(caught.value)
    with pytest.raises(StoreUnavailableError) as refused:
        check_readiness(url)
    assert str(refused.value)[:100] == told[:100]
    return told


def test_a_missing_password_of_the_sentinels_is_told_from_one_of_the_primary(watched: Watched) -> None:
    told = failure(url_of(watched, options=""))
    assert "no sentinel names the primary" in told
    assert f"sentinel 127.0.0.1:{watched.sentinel_ports[0]}: it refuses the user or the password" in told
    assert "no sentinel" not in failure(watched.url("shop:wr0ng@", options=f"?sentinel_password={GUARD}"))


def test_an_unknown_master_and_dead_sentinels_are_named(watched: Watched) -> None:
    unknown = url_of(watched).replace("/shop/", "/bakery/")
    assert "no primary named bakery is up" in failure(unknown)
    dead = free_port()
    told = failure(f"redis+sentinel://:s3cret@127.0.0.1:{dead}/shop?sentinel_password={GUARD}")
    assert f"sentinel 127.0.0.1:{dead}: it cannot be reached" in told
    assert "s3cret" not in told
    assert GUARD not in told


def test_a_crowd_shares_the_connections_to_the_primary(watched: Watched) -> None:
    """redis-py's own pool for sentinels would raise an error instead of waiting."""

    async def crowd() -> None:
        intake = intake_for(url_of(watched))
        try:
            await asyncio.gather(*(intake.clock_ahead() for _ in range(40)))
        finally:
            await intake.close()

    asyncio.run(crowd())
