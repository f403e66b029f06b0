"""When people are told without asking, of what, and in what words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.monitoring.alerts import LONGEST_WAIT, AlertKind, View, due, message

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
A_MOMENT = timedelta(seconds=1)
ALL_NIGHT = timedelta(hours=6)


def ago(span: timedelta) -> datetime:
    return NOW - span


def view(**others: Any) -> View:
    """Return a view of a house where all is well, and workers have looked all night."""
    return View(**{"now": NOW, "same_since": ago(ALL_NIGHT), **others})


def waiting(oldest: timedelta, **others: Any) -> View:
    return view(waiting=3, oldest_waiting=ago(oldest), **others)


def away(span: timedelta, **others: Any) -> View:
    """Return a view of an outage that workers have seen from its beginning."""
    return waiting(
        span,
        **{"away_since": ago(span), "same_since": ago(span), "away_reason": "Polar answered 503", **others},
    )


def test_nobody_is_told_that_all_is_well() -> None:
    assert due(view()) == ()


@pytest.mark.parametrize(
    ("failed", "parked", "known", "told"),
    [
        (1, 1, 0, True),
        (5, 5, 5, False),
        (6, 6, 5, True),
        (2, 6, 5, True),  # old ones were dismissed, and one is new
        (0, 6, 5, False),  # the new one was mended before anybody was told
    ],
)
def test_people_are_told_of_each_failed_delivery_once(
    failed: int, parked: int, known: int, *, told: bool
) -> None:
    assert due(view(failed=failed, parked=parked, known=known)) == ((AlertKind.FAILED,) if told else ())


@pytest.mark.parametrize(
    ("oldest", "last_credit", "told"),
    [
        (LONGEST_WAIT, None, True),
        (LONGEST_WAIT, LONGEST_WAIT, True),
        (LONGEST_WAIT - A_MOMENT, None, False),
        (ALL_NIGHT, LONGEST_WAIT - A_MOMENT, False),  # a long queue that moves
    ],
)
def test_people_are_told_when_deliveries_wait_and_nothing_is_credited(
    oldest: timedelta, last_credit: timedelta | None, *, told: bool
) -> None:
    credited = None if last_credit is None else ago(last_credit)
    assert due(waiting(oldest, last_credit=credited)) == ((AlertKind.STUCK,) if told else ())


def test_a_quiet_night_is_no_trouble() -> None:
    assert due(view(last_credit=ago(ALL_NIGHT))) == ()


def test_what_waited_for_workers_has_its_time_before_people_are_told() -> None:
    """Workers that were stopped for the night need a moment in the morning."""
    assert due(waiting(ALL_NIGHT, same_since=ago(A_MOMENT))) == ()
    assert due(waiting(ALL_NIGHT, same_since=ago(LONGEST_WAIT))) == (AlertKind.STUCK,)


@pytest.mark.parametrize(
    ("span", "told"), [(LONGEST_WAIT - A_MOMENT, False), (LONGEST_WAIT, True), (ALL_NIGHT, True)]
)
def test_people_are_told_of_an_outage_of_polar_that_lasts(span: timedelta, *, told: bool) -> None:
    assert due(away(span)) == ((AlertKind.POLAR,) if told else ())


def test_an_outage_of_old_is_tried_anew_before_people_are_told() -> None:
    assert due(away(ALL_NIGHT, same_since=ago(A_MOMENT))) == ()


def test_of_an_outage_people_are_told_once_and_not_as_of_a_queue_that_is_stuck() -> None:
    assert due(away(ALL_NIGHT, told=frozenset({AlertKind.POLAR}))) == ()


@pytest.mark.parametrize("kind", [AlertKind.STUCK, AlertKind.POLAR])
def test_people_who_were_told_of_trouble_are_told_when_it_is_over(kind: AlertKind) -> None:
    assert due(view(told=frozenset({kind}))) == (AlertKind.WELL,)
    assert due(waiting(ALL_NIGHT, last_credit=ago(A_MOMENT), told=frozenset({kind}))) == (AlertKind.WELL,)


@pytest.mark.parametrize("kind", [AlertKind.STUCK, AlertKind.POLAR])
def test_a_restart_of_the_workers_alone_makes_nothing_well(kind: AlertKind) -> None:
    told, just_now = frozenset({kind}), ago(A_MOMENT)
    assert due(waiting(ALL_NIGHT, told=told, same_since=just_now)) == ()
    assert due(away(ALL_NIGHT, told=told, same_since=just_now)) == ()


MOMENTS = st.integers(0, 20).map(lambda minutes: ago(timedelta(minutes=minutes)))
COUNTS = st.integers(0, 3)
VIEWS = st.builds(
    View,
    now=st.just(NOW),
    same_since=MOMENTS,
    failed=COUNTS,
    parked=COUNTS,
    known=COUNTS,
    waiting=COUNTS,
    oldest_waiting=st.none() | MOMENTS,
    last_credit=st.none() | MOMENTS,
    away_since=st.none() | MOMENTS,
    away_reason=st.text(),
    told=st.frozensets(st.sampled_from([AlertKind.STUCK, AlertKind.POLAR])),
    hushed=st.frozensets(st.sampled_from(AlertKind)),
)


@given(view=VIEWS)
def test_nobody_is_told_again_of_what_is_hushed_or_known(view: View) -> None:
    assert not set(due(view)) & (view.hushed | view.told)


@given(view=VIEWS)
def test_people_hear_of_one_trouble_at_a_time_or_that_it_is_over(view: View) -> None:
    assert len(set(due(view)) - {AlertKind.FAILED}) <= 1


@given(view=VIEWS)
def test_a_hush_puts_off_and_changes_nothing_else(view: View) -> None:
    loud = View(**{name: getattr(view, name) for name in View.__slots__} | {"hushed": frozenset()})
    assert set(due(view)) == set(due(loud)) - view.hushed


@given(view=VIEWS, kind=st.sampled_from(AlertKind), reasons=st.lists(st.text(), max_size=3))
def test_whatever_the_reasons_a_message_fits_into_a_chat_and_calls_nobody(
    view: View, kind: AlertKind, reasons: list[str]
) -> None:
    posted = message(kind, view, reasons)
    assert posted["text"] == posted["content"]
    assert len(posted["text"]) < 2000  # Discord takes no more
    assert not set(posted["text"]) & {"@", "<"}


def test_a_message_has_words_for_people_and_numbers_for_programs() -> None:
    reason = "rule pack: Polar answered 422: Customer not found."
    seen = waiting(timedelta(seconds=400), failed=5, parked=5, known=3)
    assert message(AlertKind.FAILED, seen, [reason]) == {
        "text": (words := (
            f"credit-granter: 2 deliveries failed, 5 in all: {reason} "
            "See `credits deliveries --status failed`: mend what it shows and replay it, or dismiss it."
        )),
        "content": words,
        "service": "credit-granter",
        "kind": "failed",
        "failed": 5,
        "waiting": 3,
        "oldest_waiting_seconds": 400,
        "reasons": [reason],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            AlertKind.STUCK,
            "3 deliveries wait, the oldest for 7 min, and nothing is credited. See `credits status`.",
        ),
        (
            AlertKind.POLAR,
            "Polar has taken nothing for 7 min, and 3 deliveries wait: 503. See `credits status`.",
        ),
        (AlertKind.WELL, "well again; 3 deliveries wait, 0 failed."),
    ],
)
def test_each_kind_of_trouble_is_told_in_one_line(kind: AlertKind, words: str) -> None:
    reasons = ["503"] if kind is AlertKind.POLAR else []
    assert message(kind, away(timedelta(minutes=7)), reasons)["text"] == f"credit-granter: {words}"


def test_where_nothing_waits_no_age_is_told() -> None:
    assert message(AlertKind.WELL, view(), [])["oldest_waiting_seconds"] is None


def test_an_address_in_a_reason_is_not_passed_on() -> None:
    """A webhook's own values may stand in a reason, and a chat is somebody else's."""
    shown = message(AlertKind.FAILED, view(), ["gave 'jo.doe@example.com', no number"])["reasons"]
    assert shown == ["gave ... no number"]
