"""When more connect than are read at once, each has its turn; the integration tests use real sockets."""

import pytest

from app.receiver import crowd_limits
from tests.support.fake_connections import REQUEST_SECONDS, Door


@pytest.fixture
def door() -> Door:
    return Door()


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
