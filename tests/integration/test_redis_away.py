"""A receiver whose Redis is down, hangs, or has lost its scripts."""

from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.main import create_app
from tests.support.processes import eventually
from tests.support.receivers import PAID, PATH, deliver, disposition, health, settings_for
from tests.support.recordings import payload
from tests.support.redis_servers import own_redis
from tests.support.servers import running
from workers.core.delivery import Status
from workers.embedded.server import EmbeddedRedis
from workers.store.deliveries import DeliveryStore

pytestmark = pytest.mark.heavy  # servers go away and come back in real time


def test_it_starts_without_redis_answers_503_and_recovers_by_itself(tmp_path: Path) -> None:
    embedded = EmbeddedRedis(tmp_path / "data")
    with running(create_app(settings_for(embedded.url))) as url:
        assert_away(url)
        with embedded:
            eventually(lambda: deliver(url, PAID).status_code == 202)
            eventually(lambda: httpx.get(url + "/readyz").status_code == 200)
        embedded.await_end()
        assert_away(url)
        with embedded:
            eventually(lambda: deliver(url, PAID, "msg-2").status_code == 202)
            # A delivery answered 2xx survives the server that stored it.
            assert disposition(url, PAID, "msg-1") == "duplicate"


def assert_away(url: str) -> None:
    answer = deliver(url, PAID, "msg-0")
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    eventually(lambda: httpx.get(url + "/readyz").status_code == 503)  # it is asked once a second
    assert httpx.get(url + "/livez").status_code == 200
    assert (httpx.get(url + "/healthz").status_code, httpx.get(url + "/healthz").json()) == (
        503,
        {"status": "unwell"},
    )
    assert deliver(url, payload("customer_updated")).json()["disposition"] == "ignored"
    assert httpx.post(url + PATH, content=PAID).status_code == 403


def test_a_delivery_is_answered_within_polars_timeout_while_redis_hangs(receiver: str, redis: Redis) -> None:
    """The delivery may or may not be stored once Redis resumes; sent again, it is stored once."""
    disposition(receiver, PAID, "msg-0")
    redis.client_pause(60_000, all=False)
    try:
        assert deliver(receiver, PAID).status_code == 503
    finally:
        redis.client_unpause()
    assert disposition(receiver, PAID) in {"accepted", "duplicate"}
    assert DeliveryStore(redis).count_by_status()[Status.WAITING] == 2


def test_connections_that_redis_closed_are_opened_again(receiver: str, redis: Redis) -> None:
    disposition(receiver, PAID, "msg-0")
    redis.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: deliver(receiver, PAID).status_code == 202)


def test_scripts_that_redis_lost_are_loaded_again(receiver: str, redis: Redis) -> None:
    disposition(receiver, PAID, "msg-0")
    redis.script_flush()
    assert disposition(receiver, PAID) == "accepted"


def test_a_stopped_receiver_leaves_no_connection_to_redis_open(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server, server.client() as redis:  # no other receiver uses it
        with running(create_app(settings_for(server.url))) as url:
            disposition(url, PAID)
            health(url)
            assert len(redis.client_list()) > 1
        eventually(lambda: len(redis.client_list()) == 1)
