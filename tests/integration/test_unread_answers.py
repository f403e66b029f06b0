"""Clients that do not read their answers, when all places are taken; those that wait are not read."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.receiver import crowd_limits
from app.receiver import places as turns
from app.receiver.server import server_config
from tests.support.processes import eventually
from tests.support.raw_http import MOMENT_SECONDS, read_until_closed, statuses, wire_to
from tests.support.servers import running_as

PLACES = 3
LARGE = "x" * 10_000_000  # more than the system's buffers hold
PATIENCE_SECONDS = 5  # the deadline of a request is three times as long
LONG_SECONDS = 2

ASK_LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
ASK_SMALL = b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def answered() -> list[float]:
    return []


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, answered: list[float]) -> Iterator[str]:
    async def large(_request: Request) -> Response:
        return PlainTextResponse(LARGE)

    async def small(_request: Request) -> Response:
        answered.append(time.monotonic())
        return PlainTextResponse("x")

    monkeypatch.setattr(crowd_limits, "_MOST_CONNECTIONS", PLACES)
    with running_as(server_config(Starlette(routes=[Route("/large", large), Route("/small", small)]))) as url:
        yield url


def deaf(url: str) -> socket.socket:
    """Return a connection that has asked twice and reads nothing: the second answer cannot be written."""
    parts = urlsplit(url)
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    wire.connect((str(parts.hostname), int(parts.port or 0)))
    for _ in range(2):
        wire.sendall(ASK_LARGE)
        time.sleep(MOMENT_SECONDS)
    return wire


@pytest.mark.parametrize("asked_after", [0, MOMENT_SECONDS])
def test_a_new_connection_is_not_read_before_its_turn(
    url: str, answered: list[float], monkeypatch: pytest.MonkeyPatch, asked_after: float
) -> None:
    """What strangers send while they wait would take memory without limit. Then it is read in order."""
    monkeypatch.setattr(turns, "_TURN_SECONDS", LONG_SECONDS)
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(wire_to(url)).sendall(ASK_SMALL[:10])
        begun = time.monotonic()
        with wire_to(url) as wire:
            time.sleep(asked_after)
            wire.sendall(ASK_SMALL[:20])
            time.sleep(MOMENT_SECONDS)
            wire.sendall(ASK_SMALL[20:])
            assert statuses(read_until_closed(wire)) == [200]
    (when,) = answered
    assert when - begun > LONG_SECONDS / 2


def test_clients_that_read_no_answers_keep_nobody_out(url: str, answered: list[float]) -> None:
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(deaf(url))
        begun = time.monotonic()
        stack.enter_context(wire_to(url)).sendall(ASK_SMALL)
        eventually(lambda: answered)
        assert answered[0] - begun < PATIENCE_SECONDS
