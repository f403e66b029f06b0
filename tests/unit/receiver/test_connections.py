"""A connection's deadlines; the integration tests use real sockets."""

import gc
from weakref import ref

import pytest

from tests.support.fake_connections import IDLE_SECONDS, REQUEST_SECONDS, Door


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
