"""A connection's deadline, and the limit of connections; the integration tests use real sockets."""

import asyncio
import gc
import resource
from collections.abc import Callable
from typing import Any, cast
from weakref import ref

import pytest
from starlette.applications import Starlette
from uvicorn.server import ServerState

from app.receiver import crowd_limits
from app.receiver.connections import Connection
from app.receiver.crowd_limits import most_connections, most_waiting, raise_file_limit
from app.receiver.server import server_config

REQUEST_SECONDS, IDLE_SECONDS = 15, 5


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
        self.is_read = True

    def pause_reading(self) -> None:
        """Read nothing."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Read."""
        self.is_read = True

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


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks/polar HTTP/1.1\r\nHost: x\r\nA: b"])
def test_a_closed_connection_is_no_garbage_that_must_be_found(door: Door, sent: bytes) -> None:
    """What a stranger has sent is freed at once, because garbage is searched for seldom."""
    connection, _ = door.connect()
    connection.data_received(sent)
    left = ref(connection)
    gc.collect()
    gc.disable()
    try:
        connection.connection_lost(None)
        del connection
        assert left() is None
    finally:
        gc.enable()


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
    """A client that makes many requests is not a slow sender."""
    connection, transport = door.connect()
    for byte in b"GET /livez":  # of the next request
        door.loop.advance(REQUEST_SECONDS - 1)
        connection.on_response_complete()
        connection.data_received(bytes([byte]))
    assert transport.state == "open"
    door.loop.advance(REQUEST_SECONDS)
    assert transport.state == "aborted"


@pytest.mark.parametrize("answered_at", [0, 0.5, 4.9, 6, 12])
def test_an_idle_connection_is_closed_five_seconds_after_its_answer(door: Door, answered_at: float) -> None:
    connection, transport = door.connect()
    for _ in range(int(answered_at * 10)):
        door.loop.advance(0.1)
    connection.on_response_complete()
    for _ in range(49):
        door.loop.advance(0.1)
    assert transport.state == "open"
    door.loop.advance(0.2)
    assert transport.state == "closing"


def test_a_connection_is_not_idle_once_its_next_request_has_begun(door: Door) -> None:
    connection, transport = door.connect()
    connection.on_response_complete()
    door.loop.advance(IDLE_SECONDS - 1)
    connection.data_received(b"G")
    door.loop.advance(IDLE_SECONDS)
    assert transport.state == "open"


def test_many_requests_set_no_more_timers_than_one(door: Door) -> None:
    connection, _ = door.connect()
    for byte in b"GET /livez":
        connection.on_response_complete()
        connection.data_received(bytes([byte]))
    assert len(door.loop.timers) == 1


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


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_limits, "_MOST_CONNECTIONS", 2)


TURN_SECONDS = 0.25
HALF = b"POST /webhooks/polar HTTP/1.1\r\n"


def test_a_new_connection_is_read_and_the_oldest_silent_one_waits(door: Door, two_places: None) -> None:
    """An answer makes a connection the youngest again."""
    first, first_wire = door.connect()
    _, second_wire = door.connect()
    first.on_response_complete()
    _, third_wire = door.connect()
    assert [wire.is_read for wire in (first_wire, second_wire, third_wire)] == [True, False, True]
    assert len(door.state.connections) == 3


def test_all_that_wait_have_their_turns_again_and_again(door: Door, two_places: None) -> None:
    wires = [door.connect()[1] for _ in range(5)]
    turns = []
    for _ in range(5):
        turns.append([number for number, wire in enumerate(wires) if wire.is_read])
        door.loop.advance(TURN_SECONDS)
    assert turns == [[3, 4], [0, 1], [2, 3], [0, 4], [1, 2]]
    assert {wire.state for wire in wires} == {"open"}


def test_who_has_sent_a_part_keeps_its_place_for_a_turn_and_is_closed_for_one_that_waits(
    door: Door, two_places: None
) -> None:
    half = [door.connect() for _ in range(2)]
    for connection, _ in half:
        connection.data_received(HALF)
    _, waiting = door.connect()
    assert not waiting.is_read
    door.loop.advance(TURN_SECONDS)
    assert waiting.is_read
    assert [wire.state for _, wire in half] == ["aborted", "open"]


def test_without_others_who_wait_a_slow_sender_has_all_its_time(door: Door, two_places: None) -> None:
    connection, wire = door.connect()
    connection.data_received(HALF)
    door.loop.advance(REQUEST_SECONDS - 1)
    assert wire.state == "open"


def test_a_closed_connection_leaves_its_place_to_the_first_that_waits(door: Door, two_places: None) -> None:
    wires = [door.connect() for _ in range(4)]
    assert [wire.is_read for _, wire in wires] == [False, False, True, True]
    wires[3][0].connection_lost(None)
    assert [wire.is_read for _, wire in wires[:3]] == [True, False, True]
    wires[1][0].connection_lost(None)  # it waited
    wires[2][0].connection_lost(None)
    assert wires[0][1].is_read


def test_when_too_many_wait_the_one_that_waited_longest_is_closed(
    door: Door, two_places: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd_limits, "_MOST_WAITING", 3)
    wires = [door.connect()[1] for _ in range(6)]
    assert [wire.state for wire in wires] == ["aborted", *["open"] * 5]


def limits(monkeypatch: pytest.MonkeyPatch, now: int, most: int) -> list[tuple[int, int]]:
    """Fake the limits of open files; return the list of all limits that are set."""
    current = [(now, most)]

    def change(_: int, to: tuple[int, int]) -> None:
        current.append(to)

    monkeypatch.setattr(resource, "getrlimit", lambda _: current[-1])
    monkeypatch.setattr(resource, "setrlimit", change)
    return current


@pytest.mark.parametrize(
    ("files", "most", "waiting"),
    [
        (20_000, 250, 2000), (2350, 250, 2000), (1024, 250, 674), (350, 250, 0), (349, 249, 0), (256, 156, 0),
        (64, 1, 0), (-1, 250, 2000),
    ],
)  # fmt: skip
def test_connections_leave_some_files_for_redis(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int, waiting: int
) -> None:
    limits(monkeypatch, resource.RLIM_INFINITY if files < 0 else files, files)
    assert (most_connections(), most_waiting()) == (most, waiting)


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
