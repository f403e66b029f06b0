"""A connection's deadline, and the limit of connections; the integration tests use real sockets."""

import asyncio
import resource
from collections.abc import Callable
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from uvicorn.server import ServerState

from app.receiver import connections
from app.receiver.connections import Connection, most_connections, raise_file_limit
from app.receiver.server import server_config

REQUEST_SECONDS = 15


class Timer:
    """A scheduled call."""

    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due, self.call, self.cancelled = due, call, False

    def cancel(self) -> None:
        """Cancel the call."""
        self.cancelled = True


class Loop:
    """A fake event loop whose clock the test advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_later(self, seconds: float, call: Callable[..., object], *args: object) -> Timer:
        """Schedule a call."""
        self.timers.append(Timer(self.now + seconds, lambda: call(*args)))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        """Advance the clock, and make the calls that are due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer.due > self.now]
        for timer in due:
            timer.call()


class Transport:
    """A fake transport without a peer."""

    def __init__(self) -> None:
        self.state = "open"

    def abort(self) -> None:
        """Close at once."""
        self.state = "aborted"

    def close(self) -> None:
        """Close once all is written, which never happens here: the peer does not read."""
        self.state = "closing"

    def is_closing(self) -> bool:
        """Return whether it is closing or closed."""
        return self.state != "open"

    def get_extra_info(self, _name: str) -> None:
        """Return no information about either side."""


class Door:
    """A server's connections."""

    def __init__(self) -> None:
        self.loop, self.state = Loop(), ServerState()
        self.config = server_config(Starlette())

    def connect(self) -> tuple[Connection, Transport]:
        """Return a new connection and its transport."""
        transport = Transport()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        connection = Connection(self.config, self.state, {}, _loop=loop)
        connection.connection_made(cast(asyncio.Transport, transport))
        return connection, transport


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_connection_without_an_answer_ends_after_a_while(door: Door) -> None:
    _, transport = door.connect()
    door.loop.advance(REQUEST_SECONDS - 1)
    assert transport.state == "open"
    door.loop.advance(1)
    assert transport.state == "aborted"


@pytest.mark.parametrize("line", [b"GET /livez HTTP/1.1", b"GET / HTTP/1.1\r\nA: bcdef"])
def test_sending_does_not_extend_the_deadline(door: Door, line: bytes) -> None:
    connection, transport = door.connect()
    for byte in line[:REQUEST_SECONDS]:
        door.loop.advance(1)
        connection.data_received(bytes([byte]))
    door.loop.advance(1)
    assert transport.state == "aborted"


def test_each_answer_starts_a_new_deadline(door: Door) -> None:
    """A client that makes many requests is not a slow sender; uvicorn itself closes idle connections."""
    connection, transport = door.connect()
    for byte in b"GET /livez":  # of the next request
        door.loop.advance(REQUEST_SECONDS - 1)
        connection.on_response_complete()
        connection.data_received(bytes([byte]))
    assert transport.state == "open"
    door.loop.advance(REQUEST_SECONDS)
    assert transport.state == "aborted"


def test_a_client_that_does_not_read_its_last_answer_is_disconnected(door: Door) -> None:
    connection, transport = door.connect()
    transport.close()
    connection.on_response_complete()
    door.loop.advance(REQUEST_SECONDS)
    assert transport.state == "aborted"


def test_a_client_that_does_not_read_while_more_is_written_is_disconnected(door: Door) -> None:
    connection, transport = door.connect()
    connection.pause_writing()
    door.loop.advance(REQUEST_SECONDS)
    assert transport.state == "aborted"


def test_no_request_outlives_the_grace_period_of_a_stop(door: Door) -> None:
    """Otherwise uvicorn answers 500 and logs a traceback for each connection that a stranger holds open."""
    grace_seconds = door.config.timeout_graceful_shutdown
    assert grace_seconds is not None
    _, transport = door.connect()
    door.loop.advance(grace_seconds - 0.5)
    assert transport.state == "aborted"


def test_a_closed_connection_leaves_no_timer(door: Door) -> None:
    connection, _ = door.connect()
    connection.on_response_complete()
    connection.connection_lost(None)
    assert [timer for timer in door.loop.timers if not timer.cancelled] == []


def test_the_connection_with_the_oldest_request_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer makes a connection the youngest again."""
    monkeypatch.setattr(connections, "_MOST_CONNECTIONS", 2)
    first, first_transport = door.connect()
    door.loop.advance(1)
    _, second_transport = door.connect()
    door.loop.advance(1)
    first.on_response_complete()
    door.loop.advance(1)
    door.connect()
    assert (first_transport.state, second_transport.state) == ("open", "aborted")
    door.connect()
    assert first_transport.state == "aborted"
    assert len(door.state.connections) == 2


def limits(monkeypatch: pytest.MonkeyPatch, now: int, most: int) -> list[tuple[int, int]]:
    """Fake the limits of open files; return the list of all limits that are set."""
    current = [(now, most)]

    def change(_: int, to: tuple[int, int]) -> None:
        current.append(to)

    monkeypatch.setattr(resource, "getrlimit", lambda _: current[-1])
    monkeypatch.setattr(resource, "setrlimit", change)
    return current


@pytest.mark.parametrize(
    ("files", "most"), [(20_000, 250), (350, 250), (349, 249), (256, 156), (64, 1), (-1, 250)]
)
def test_connections_leave_some_files_for_redis(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    limits(monkeypatch, resource.RLIM_INFINITY if files < 0 else files, files)
    assert most_connections() == most


@pytest.mark.parametrize(
    ("now", "most", "raised"),
    [
        (1024, 4096, (4096, 4096)),
        (4096, 4096, (4096, 4096)),
        (256, resource.RLIM_INFINITY, (10_240, resource.RLIM_INFINITY)),
        (20_000, resource.RLIM_INFINITY, (20_000, resource.RLIM_INFINITY)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, now: int, most: int, raised: tuple[int, int]
) -> None:
    current = limits(monkeypatch, now, most)
    raise_file_limit()
    assert current[-1] == raised


def test_a_system_that_refuses_to_raise_the_limit_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits(monkeypatch, 256, 512)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_file_limit()
    assert most_connections() == 156
