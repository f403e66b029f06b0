"""nginx and Caddy, run with the files in deploy/: webhooks reach a real receiver, and nothing else does."""

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.main import create_app
from app.receiver.server import server_config
from tests.support.proxies import Proxy, caddy, nginx
from tests.support.receivers import ID, OPS_TOKEN, PAID, PATH, settings_for, signed
from tests.support.servers import running, running_as
from workers.store.bodies import MOST_BYTES
from workers.store.deliveries import DeliveryStore

pytestmark = pytest.mark.heavy  # they start servers that `make test-heavy` installs

PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def kind(request: pytest.FixtureRequest) -> Any:
    """Return what runs a proxy."""
    return PROXIES[request.param]


@contextmanager
def before(kind: Any, folder: Path, app: AbstractContextManager[str]) -> Iterator[Proxy]:
    """Run a proxy before an application."""
    with app as url, kind(folder, urlsplit(url).port) as proxy:
        yield proxy


@pytest.fixture
def proxy(kind: Any, tmp_path: Path, redis: Redis, redis_url: str) -> Iterator[Proxy]:
    """Yield a proxy before a real receiver."""
    receiver = create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN))
    with before(kind, tmp_path, running_as(server_config(receiver))) as one:
        yield one


@pytest.fixture
def echo(kind: Any, tmp_path: Path) -> Iterator[Proxy]:
    """Yield a proxy before an application that answers with the headers that reach it."""

    async def headers(request: Request) -> Response:
        return JSONResponse(dict(request.headers))

    with before(kind, tmp_path, running(Starlette(routes=[Route(PATH, headers, methods=["POST"])]))) as one:
        yield one


def test_a_signed_webhook_is_stored_byte_for_byte(proxy: Proxy, redis: Redis) -> None:
    for path, disposition in ((PATH, "accepted"), (PATH + "/", "duplicate")):
        answer = proxy.client.post(path, content=PAID, headers=signed(PAID))
        assert (answer.status_code, answer.json()["disposition"]) == (202, disposition)
    assert DeliveryStore(redis).body(ID) == PAID


def test_a_forged_webhook_and_one_at_a_wrong_path_are_answered_by_the_receiver(proxy: Proxy) -> None:
    forged = proxy.client.post(PATH, content=b"{}", headers=signed(PAID))
    assert (forged.status_code, forged.json()["error"]) == (403, "invalid_signature")
    astray = proxy.client.post("/webhook", content=PAID, headers=signed(PAID))
    assert (astray.status_code, astray.json()["error"]) == (404, "wrong_path")


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/healthz", "/metrics", PATH])
def test_nothing_but_webhooks_passes(proxy: Proxy, path: str) -> None:
    operator = {"Authorization": f"Bearer {OPS_TOKEN}"}
    answer = proxy.client.get(path, headers=operator)
    assert answer.status_code == 404
    assert "json" not in answer.headers.get("content-type", "")


def test_the_largest_body_passes_and_a_larger_one_is_refused(proxy: Proxy) -> None:
    largest = b"x" * MOST_BYTES
    assert proxy.client.post(PATH, content=largest, headers=signed(largest)).status_code == 202
    larger = largest + b"x"
    assert proxy.client.post(PATH, content=larger, headers=signed(larger)).status_code == 413
    chunked = iter([largest, b"x"])
    assert proxy.client.post(PATH, content=chunked, headers=signed(larger)).status_code == 413


def test_a_sender_that_stalls_is_cut_off_and_holds_nobody_up(proxy: Proxy) -> None:
    with proxy.wire() as wire:
        wire.sendall(b"POST /webhooks/polar HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert proxy.client.post(PATH, content=PAID, headers=signed(PAID)).status_code == 202
        assert time.monotonic() - began < 5
        assert not first_line(wire).startswith(b"HTTP/1.1 2")  # it would mean that the webhook is stored
        assert time.monotonic() - began < 30


def first_line(wire: socket.socket) -> bytes:
    """Return the first line of the answer; nothing if the connection is closed without one."""
    try:
        return wire.recv(65_536).partition(b"\r\n")[0]
    except ConnectionResetError:
        return b""


def test_the_receiver_is_told_the_clients_own_address(echo: Proxy) -> None:
    answer = echo.client.post(PATH, headers={"X-Forwarded-For": "203.0.113.7", "Host": "localhost"})
    assert answer.status_code == httpx.codes.OK
    assert answer.json()["x-forwarded-for"] in {"127.0.0.1", "::1"}
    assert answer.json()["x-forwarded-proto"] == str(echo.client.base_url.scheme)
