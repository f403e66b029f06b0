"""The receiver's connections: each ends in time, and strangers cannot take all of them."""

import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.main import create_app
from app.receiver import connections as door
from app.receiver import crowd_limits
from app.receiver.server import server_config
from tests.support.processes import credits_in, eventually, post
from tests.support.raw_http import is_closed, post_with, read_until_closed, wire_to
from tests.support.receivers import OPS_TOKEN, PAID, disposition, settings_for
from tests.support.servers import running_as
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore

SHORT_SECONDS = 0.3


@pytest.fixture
def url(redis: Redis, redis_url: str) -> Iterator[str]:
    """Yield the base URL of a receiver configured as in production."""
    with running_as(server_config(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN)))) as url:
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_REQUEST_SECONDS", SHORT_SECONDS)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_limits, "_MOST_CONNECTIONS", 3)


def dribble(wire: socket.socket) -> bool:
    """Send one more byte; return whether the server has closed the connection."""
    try:
        wire.send(b"a")
    except OSError:
        return True
    return is_closed(wire)


BEGINNINGS = {
    "nothing": b"",
    "half a request line": b"POST /webh",
    "headers without an end": b"POST /webhooks/polar HTTP/1.1\r\nHost: x\r\nA: ",
    "a body for who takes none": post_with(b"Content-Length: 1000000", path=b"/livez"),
    "a body for nobody": post_with(b"Content-Length: 1000000", path=b"/nowhere"),
    "a body in chunks": post_with(b"Transfer-Encoding: chunked", body=b"fffff\r\n"),
    "a second request that is half": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /liv",
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS.keys())
def test_a_slow_sender_is_disconnected(url: str, impatient: None, beginning: bytes) -> None:
    with wire_to(url) as wire:
        wire.sendall(beginning)
        eventually(lambda: dribble(wire))


def test_a_silent_client_is_disconnected(url: str, impatient: None) -> None:
    with wire_to(url) as wire:
        assert read_until_closed(wire) == b""


def test_the_connection_that_waited_longest_is_closed_when_too_many_wait(
    url: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd_limits, "_MOST_WAITING", 1)
    with ExitStack() as stack:
        idle = [stack.enter_context(wire_to(url)) for _ in range(5)]
        eventually(lambda: any(is_closed(one) for one in idle))
        assert sum(is_closed(one) for one in idle) == 1


def test_a_client_with_all_connections_does_not_keep_polar_out(url: str, small: None, redis: Redis) -> None:
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(wire_to(url)).sendall(post_with(b"Content-Length: 1000", body=b"{"))
            assert disposition(url, PAID, f"msg-{number}") == "accepted"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lowers another process's limit")
def test_a_receiver_with_few_files_survives_a_crowd_and_still_serves_polar(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """More clients connect than files can be opened; some must try again."""
    credits_ = credits_in(tmp_path, "http://127.0.0.1:9", REDIS_URL=redis_url)
    with credits_.running("serve") as serve, ExitStack() as crowd:
        url = serve.url()
        resource.prlimit(serve.pid, resource.RLIMIT_NOFILE, (150, 150))
        for _ in range(200):
            crowd.enter_context(wire_to(url))
        with httpx.Client(base_url=url) as polar:
            assert eventually(lambda: _post(polar))
        assert DeliveryStore(redis).count_by_status()[Status.WAITING] == 1


def _post(polar: httpx.Client) -> str:
    try:
        return post(polar, PAID)
    except httpx.TransportError:  # it comes again
        return ""
