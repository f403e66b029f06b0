"""A receiver and its connections to Redis: a crowd during an outage, and the first delivery after it."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from app.main import create_app
from config.redis_urls import RedisOptions
from tests.support.processes import eventually
from tests.support.receivers import OPS_TOKEN, PAID, deliver, settings_for
from tests.support.redis_servers import Server, name_in, own_redis
from tests.support.servers import running
from workers.store.connect import most_connections
from workers.timings import DEFAULT_TIMINGS

pytestmark = pytest.mark.heavy  # servers restart and hang in real time

CROWD = 120  # more than there are connections

# Twice the usual: on a busy machine, a crowd may take Redis more than three seconds. Polar waits for ten.
TIMINGS = replace(DEFAULT_TIMINGS, receiver_redis_seconds=6)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with own_redis(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def url(server: Server) -> Iterator[str]:
    with running(create_app(settings_for(server.url, CREDITS_OPS_TOKEN=OPS_TOKEN), TIMINGS)) as base:
        yield base


def crowd(url: str, name: str) -> list[int]:
    """Deliver many webhooks at once, each answered within Polar's timeout; return the statuses."""
    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(lambda n: deliver(url, PAID, f"{name}-{n}").status_code, range(CROWD)))


def detail(url: str) -> str:
    answer = httpx.get(url + "/healthz", headers={"Authorization": f"Bearer {OPS_TOKEN}"}, timeout=30)
    return str(answer.json()["checks"]["redis"]["detail"])


def test_a_crowd_is_answered_in_time_while_redis_hangs_and_accepted_once_it_resumes(
    url: str, server: Server
) -> None:
    crowd(url, "before")
    server.send(signal.SIGSTOP)
    try:
        assert set(crowd(url, "during")) == {503}
    finally:
        server.send(signal.SIGCONT)
    assert set(crowd(url, "after")) == {202}


def test_no_delivery_uses_a_connection_that_redis_has_closed(url: str, server: Server) -> None:
    assert set(crowd(url, "open")) == {202}
    with server.client() as redis:
        redis.client_kill_filter(_type="normal", skipme=True)
    assert set(crowd(url, "cut")) == {202}


def test_the_first_delivery_after_a_restart_is_accepted(url: str, server: Server) -> None:
    assert set(crowd(url, "up")) == {202}
    server.kill()
    assert set(crowd(url, "down")) == {503}
    server.start()
    assert set(crowd(url, "again")) == {202}


def test_a_crowd_opens_no_more_connections_than_allowed(url: str, server: Server) -> None:
    crowd(url, "many")
    with server.client() as redis:
        assert len(redis.client_list()) <= most_connections(RedisOptions(), receivers=1) + 1  # this one


def test_healthz_follows_a_name_to_another_server(tmp_path: Path) -> None:
    name = name_in(tmp_path)
    with own_redis(tmp_path / "old") as old, own_redis(tmp_path / "new") as new:
        name.symlink_to(old.path)
        with running(create_app(settings_for(f"unix://{name}", CREDITS_OPS_TOKEN=OPS_TOKEN))) as url:
            assert detail(url) == "accepts writes and keeps them"
            with old.client() as redis:
                redis.replicaof("127.0.0.1", 1)  # nothing listens there, so nothing is ever copied
            name.unlink()
            name.symlink_to(new.path)
            eventually(lambda: "read-only replica" in detail(url))
            eventually(lambda: detail(url) == "accepts writes and keeps them")


def test_a_receiver_that_nobody_posts_to_is_ready_again_after_a_fail_over(tmp_path: Path) -> None:
    """A load balancer that relies on readiness would never pass on the webhook that reconnects it."""
    name = name_in(tmp_path)
    with own_redis(tmp_path / "old") as old, own_redis(tmp_path / "new") as new:
        name.symlink_to(old.path)
        with running(create_app(settings_for(f"unix://{name}"))) as url:
            assert httpx.get(url + "/readyz").status_code == 200
            with old.client() as redis:
                redis.replicaof("127.0.0.1", 1)
            name.unlink()
            name.symlink_to(new.path)
            eventually(lambda: httpx.get(url + "/readyz").status_code == 200)
