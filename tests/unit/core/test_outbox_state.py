"""When operators are told that the storefront takes no credit events."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.core.outbox_state import OutboxState

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "state",
    [
        OutboxState(waiting=0),
        OutboxState(waiting=0, given_up=7, last_sent=ago(600)),
        OutboxState(waiting=5, oldest=ago(59)),
        OutboxState(waiting=5, oldest=ago(600), last_sent=ago(59), error="answered 500"),
        OutboxState(waiting=5, oldest=NOW + timedelta(seconds=30), last_sent=ago(600)),
    ],
    ids=["nothing waits", "some were given up", "not for long", "others are taken", "one is being sent"],
)
def test_nothing_is_wrong(state: OutboxState) -> None:
    assert state.problem(NOW) == ""


@pytest.mark.parametrize("last_sent", [None, ago(61)])
def test_after_an_hour_in_which_nothing_was_taken_the_refusal_is_told(last_sent: datetime | None) -> None:
    state = OutboxState(waiting=2, oldest=ago(150), last_sent=last_sent, error="answered 500")
    assert state.problem(NOW) == (
        "the storefront takes no credit events: answered 500; 2 credit events waiting, the oldest for 2 h "
        "(see credits outbox)"
    )


def test_where_nothing_was_refused_nobody_sends() -> None:
    assert OutboxState(waiting=1, oldest=ago(60)).problem(NOW) == (
        "no process sends credit events: 1 credit event waiting, the oldest for 60 min "
        "(start credits work, or credits up)"
    )


def test_what_waits_and_what_was_given_up_is_described() -> None:
    assert OutboxState(waiting=0).describe() == "none is waiting"
    whole = OutboxState(waiting=3, given_up=2, error="no answer: ConnectError")
    assert whole.describe() == (
        "3 credit events waiting, one of them refused: no answer: ConnectError; 2 given up "
        "(see credits outbox --failed)"
    )
