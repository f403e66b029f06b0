"""When people are told without asking, of what, and in what words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.monitoring.alerts import LONGEST_WAIT, AlertKind, AlertState, alert_body, due_alerts, over

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
A_MOMENT = timedelta(seconds=1)
ALL_NIGHT = timedelta(hours=6)


def ago(span: timedelta) -> datetime:
    return NOW - span


def state(**others: Any) -> AlertState:
    """Return a view of a house where all is well, and workers have looked all night."""
    return AlertState(**{"now": NOW, "steady_since": ago(ALL_NIGHT), **others})


def waiting(oldest: timedelta, **others: Any) -> AlertState:
    return state(waiting=3, oldest_waiting=ago(oldest), **others)


def away(span: timedelta, **others: Any) -> AlertState:
    """Return a view of an outage that workers have seen from its beginning."""
    return waiting(
        span,
        **{
            "outage_since": ago(span),
            "steady_since": ago(span),
            "outage_reason": "Polar answered 503",
            **others,
        },
    )


def test_nobody_is_told_that_all_is_well() -> None:
    assert due_alerts(state()) == ()


@pytest.mark.parametrize(
    ("failed", "failed_ever", "failed_reported", "alerted"),
    [
        (1, 1, 0, True),
        (5, 5, 5, False),
        (6, 6, 5, True),
        (2, 6, 5, True),  # old ones were dismissed, and one is new
        (0, 6, 5, False),  # the new one was mended before anybody was told
    ],
)
def test_people_are_told_of_each_failed_delivery_once(
    failed: int, failed_ever: int, failed_reported: int, *, alerted: bool
) -> None:
    assert due_alerts(state(failed=failed, failed_ever=failed_ever, failed_reported=failed_reported)) == (
        (AlertKind.FAILED,) if alerted else ()
    )


@pytest.mark.parametrize(
    ("oldest", "last_credit", "alerted"),
    [
        (LONGEST_WAIT, None, True),
        (LONGEST_WAIT, LONGEST_WAIT, True),
        (LONGEST_WAIT - A_MOMENT, None, False),
        (ALL_NIGHT, LONGEST_WAIT - A_MOMENT, False),  # a long queue that moves
    ],
)
def test_people_are_told_when_deliveries_wait_and_nothing_is_credited(
    oldest: timedelta, last_credit: timedelta | None, *, alerted: bool
) -> None:
    credited = None if last_credit is None else ago(last_credit)
    assert due_alerts(waiting(oldest, last_credit=credited)) == ((AlertKind.STUCK,) if alerted else ())


def test_a_quiet_night_is_no_trouble() -> None:
    assert due_alerts(state(last_credit=ago(ALL_NIGHT))) == ()


def test_what_waited_for_workers_has_its_time_before_people_are_told() -> None:
    """Workers that were stopped for the night need a moment in the morning."""
    assert due_alerts(waiting(ALL_NIGHT, steady_since=ago(A_MOMENT))) == ()
    assert due_alerts(waiting(ALL_NIGHT, steady_since=ago(LONGEST_WAIT))) == (AlertKind.STUCK,)


@pytest.mark.parametrize(
    ("span", "alerted"), [(LONGEST_WAIT - A_MOMENT, False), (LONGEST_WAIT, True), (ALL_NIGHT, True)]
)
def test_people_are_told_of_an_outage_of_polar_that_lasts(span: timedelta, *, alerted: bool) -> None:
    assert due_alerts(away(span)) == ((AlertKind.POLAR,) if alerted else ())


def test_an_outage_of_old_is_tried_anew_before_people_are_told() -> None:
    assert due_alerts(away(ALL_NIGHT, steady_since=ago(A_MOMENT))) == ()


def test_of_an_outage_people_are_told_once_and_not_as_of_a_queue_that_is_stuck() -> None:
    assert due_alerts(away(ALL_NIGHT, alerted=frozenset({AlertKind.POLAR}))) == ()


@pytest.mark.parametrize("kind", [AlertKind.STUCK, AlertKind.POLAR])
def test_people_who_were_told_of_trouble_are_told_when_it_is_over(kind: AlertKind) -> None:
    assert due_alerts(state(alerted=frozenset({kind}))) == (AlertKind.WELL,)
    assert due_alerts(waiting(ALL_NIGHT, last_credit=ago(A_MOMENT), alerted=frozenset({kind}))) == (
        AlertKind.WELL,
    )


@pytest.mark.parametrize("kind", [AlertKind.STUCK, AlertKind.POLAR])
def test_a_restart_of_the_workers_alone_makes_nothing_well(kind: AlertKind) -> None:
    alerted, just_now = frozenset({kind}), ago(A_MOMENT)
    assert due_alerts(waiting(ALL_NIGHT, alerted=alerted, steady_since=just_now)) == ()
    assert due_alerts(away(ALL_NIGHT, alerted=alerted, steady_since=just_now)) == ()


def test_a_lost_ledger_is_told_at_once_and_once() -> None:
    lost = {AlertKind.LEDGER: "lost: run credits rebuild"}
    assert due_alerts(state(lasting=lost, steady_since=NOW)) == (AlertKind.LEDGER,)
    assert due_alerts(state(lasting=lost, alerted=frozenset({AlertKind.LEDGER}))) == ()
    assert alert_body(AlertKind.LEDGER, state(lasting=lost), [])["text"] == (
        "credit-granter: lost: run credits rebuild."
    )


def test_one_problem_that_is_over_is_told_though_another_lasts() -> None:
    """Else it could come back unheard."""
    alerted = frozenset({AlertKind.LEDGER, AlertKind.POLAR})
    seen = away(ALL_NIGHT, alerted=alerted)
    assert due_alerts(seen) == (AlertKind.WELL,)
    assert over(seen) == {AlertKind.LEDGER}
    assert alert_body(AlertKind.WELL, seen, [])["text"].startswith(
        "credit-granter: over: ledger; not well yet: polar; 3 deliveries wait"
    )
    lasting = {AlertKind.LEDGER: "lost"}
    assert over(state(alerted=alerted, lasting=lasting)) == {AlertKind.POLAR}


MOMENTS = st.integers(0, 20).map(lambda minutes: ago(timedelta(minutes=minutes)))
COUNTS = st.integers(0, 3)
VIEWS = st.builds(
    AlertState,
    now=st.just(NOW),
    steady_since=MOMENTS,
    failed=COUNTS,
    failed_ever=COUNTS,
    failed_reported=COUNTS,
    waiting=COUNTS,
    oldest_waiting=st.none() | MOMENTS,
    last_credit=st.none() | MOMENTS,
    outage_since=st.none() | MOMENTS,
    outage_reason=st.text(),
    alerted=st.frozensets(st.sampled_from([AlertKind.STUCK, AlertKind.POLAR, AlertKind.LEDGER])),
    lasting=st.dictionaries(st.just(AlertKind.LEDGER), st.just("lost")),
    muted=st.frozensets(st.sampled_from(AlertKind)),
)


@given(state=VIEWS)
def test_what_is_muted_or_reported_already_is_not_reported_again(state: AlertState) -> None:
    assert not set(due_alerts(state)) & (state.muted | state.alerted)


@given(state=VIEWS)
def test_people_hear_of_being_stuck_or_of_polar_or_that_both_are_over(state: AlertState) -> None:
    told = set(due_alerts(state))
    assert len(told & {AlertKind.STUCK, AlertKind.POLAR}) <= 1
    if AlertKind.WELL in told:
        assert over(state)


@given(state=VIEWS)
def test_muting_delays_an_alert_and_changes_nothing_else(state: AlertState) -> None:
    loud = AlertState(
        **{name: getattr(state, name) for name in AlertState.__struct_fields__} | {"muted": frozenset()}
    )
    assert set(due_alerts(state)) == set(due_alerts(loud)) - state.muted


@given(state=VIEWS, kind=st.sampled_from(AlertKind), reasons=st.lists(st.text(), max_size=3))
def test_whatever_the_reasons_a_message_fits_into_a_chat_and_calls_nobody(
    state: AlertState, kind: AlertKind, reasons: list[str]
) -> None:
    posted = alert_body(kind, state, reasons)
    assert posted["text"] == posted["content"]
    assert len(posted["text"]) < 2000  # Discord takes no more
    assert not set(posted["text"]) & {"@", "<"}


def test_a_message_has_words_for_people_and_numbers_for_programs() -> None:
    reason = "rule pack: Polar answered 422: Customer not found."
    seen = waiting(timedelta(seconds=400), failed=5, failed_ever=5, failed_reported=3)
    assert alert_body(AlertKind.FAILED, seen, [reason]) == {
        "text": (words := (
            f"credit-granter: 2 deliveries failed, 5 in all: {reason} "
            "See `credits deliveries --status failed`: fix the cause and replay them, or dismiss them."
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
            "Polar has accepted nothing for 7 min, and 3 deliveries wait: 503. See `credits status`.",
        ),
        (AlertKind.WELL, "well again; 3 deliveries wait, 0 failed."),
    ],
)
def test_each_kind_of_trouble_is_told_in_one_line(kind: AlertKind, words: str) -> None:
    reasons = ["503"] if kind is AlertKind.POLAR else []
    seen = waiting(ALL_NIGHT, last_credit=NOW) if kind is AlertKind.WELL else away(timedelta(minutes=7))
    assert alert_body(kind, seen, reasons)["text"] == f"credit-granter: {words}"


def test_where_nothing_waits_no_age_is_told() -> None:
    assert alert_body(AlertKind.WELL, state(), [])["oldest_waiting_seconds"] is None


def test_an_address_in_a_reason_is_not_passed_on() -> None:
    """A webhook's own values may stand in a reason, and a chat is somebody else's."""
    shown = alert_body(AlertKind.FAILED, state(), ["gave 'jo.doe@example.com', no number"])["reasons"]
    assert shown == ["gave ... no number"]
