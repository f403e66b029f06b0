"""An event at Polar says which instalments follow it, and is read back as it was written."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.intervals import Every
from tests.support.drawn_rules import amounts, rule_names
from tests.support.instalments import YEAR, own_grant, part, yearly
from tests.support.instalments import given as instalment
from workers.core.grants import Grant, Part
from workers.core.period_notes import period_note, read_period_note
from workers.core.recorded_grants import RecordedGrant
from workers.core.usage_events import read_usage_event, usage_event

NOTE = (
    "yearly,more: 1005 each month from 2026-01-31T12:00:00.000Z to 2027-01-31T12:00:00.000Z, "
    "subscription 00000000-000c-4000-8000-000000000000, product 00000000-000d-4000-8000-000000000000"
)
GRANT = own_grant(part("start", 50, every=None), part("yearly", 1000), part("more", 5))


def read_back(grant: Grant, **metadata: Any) -> Grant:
    """Return a grant as it is read from the event that was sent for it."""
    event = usage_event(grant)
    row = {
        "id": "event",
        "name": event["name"],
        "customer_id": event["customer_id"],
        "timestamp": "2026-01-31T12:00:02Z",
        "metadata": event["metadata"] | metadata,
    }
    recorded = read_usage_event(row)
    assert isinstance(recorded, RecordedGrant), recorded
    return recorded.grant


def test_an_orders_event_says_which_instalments_follow() -> None:
    assert period_note(GRANT) == NOTE
    assert usage_event(GRANT)["metadata"]["reason"] == NOTE


def test_it_is_read_back_with_the_part_that_comes_again_and_the_rest() -> None:
    found = read_back(GRANT)
    assert found.parts == (
        Part(rule="yearly,more", units=GRANT.units - 50, every=Every.MONTH),
        Part(rule="start", units=GRANT.units - 1005),
    )
    assert (found.period, found.reason) == (replace(YEAR, ordered_at=YEAR.start), "")


def test_other_events_say_nothing_of_instalments() -> None:
    once = own_grant(part("start", 50, every=None))
    later = instalment(yearly()).grant
    assert [period_note(once), period_note(later)] == ["", ""]
    assert "reason" not in usage_event(later)["metadata"]
    assert read_back(later) == replace(later, parts=(Part(rule="yearly", units=later.units),))


@pytest.mark.parametrize(
    "reason",
    [
        "thanks",
        NOTE + " ",
        NOTE.replace("2027-01-31", "2027-02-30"),
        NOTE.replace("2027-01-31", "2026-01-31"),
        NOTE.replace("month", "day"),
    ],
)
def test_what_is_no_note_is_a_reason_as_before(reason: str) -> None:
    assert read_period_note(reason) is None
    found = read_back(GRANT, reason=reason)
    assert (found.period, found.reason, len(found.parts)) == (None, reason, 1)


def test_a_note_that_is_too_long_for_polar_is_left_out() -> None:
    long_names = [part(f"{number}" * 64, 1) for number in range(6)]
    assert "reason" not in usage_event(own_grant(*long_names))["metadata"]


@given(
    st.lists(st.tuples(rule_names, amounts), min_size=1, max_size=3, unique_by=lambda one: one[0]),
    st.lists(st.tuples(rule_names, amounts), max_size=2, unique_by=lambda one: one[0]),
    st.sampled_from(Every),
    st.integers(1, 10**10),
)
def test_any_order_is_read_back_with_its_period_and_amounts(
    repeated: list[Any], once: list[Any], every: Every, length: int
) -> None:
    names = {name for name, _ in repeated}
    parts = [part(name, units, every=every) for name, units in repeated]
    rest = [part(name, units, every=None) for name, units in once if name not in names]
    period = replace(YEAR, end=YEAR.start + timedelta(milliseconds=length))
    grant = replace(own_grant(*parts, *rest), period=period)
    found = read_back(grant)
    assert found.units == grant.units
    assert found.period == replace(period, ordered_at=period.start)
    assert found.parts[0].units == sum(one.units for one in parts)
    assert [one.every for one in found.parts] == [every, *([None] if rest else [])]
