"""Whether Polar has a grant as the ledger has it, by the events that it lists under its key."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.builders import grant_of, some_id
from workers.core.confirmations import LONGEST_LAG, Reading, reading_of
from workers.core.grants import Grant
from workers.core.recorded_grants import InvalidUsageEvent, RecordedGrant

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GRANT = grant_of(1, 9)
SOON = timedelta(seconds=1)


def event_of(grant: Grant) -> RecordedGrant:
    return RecordedGrant(event_id=some_id(1), grant=grant, at=NOW)


def other(units: int, **fields: Any) -> RecordedGrant:
    (part,) = GRANT.parts
    return event_of(replace(GRANT, parts=(replace(part, units=Decimal(units)),), **fields))


def test_an_event_with_the_same_credits_for_the_same_customer_is_equal() -> None:
    """The rules' names may differ: they may have been renamed."""
    (part,) = GRANT.parts
    renamed = event_of(replace(GRANT, parts=(replace(part, rule="renamed"),)))
    for event in (event_of(GRANT), renamed):
        assert reading_of(GRANT, [event], settled_for=SOON) == Reading(grant=GRANT, is_equal=True)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (other(7), "7"),
        (other(9, customer_id=some_id(5)), f"9 for {some_id(5)}"),
        (
            InvalidUsageEvent(event_id=some_id(1), key=GRANT.key, why="it names no rules"),
            "an unreadable event",
        ),
    ],
)
def test_anything_else_is_told_and_never_read_again(
    event: RecordedGrant | InvalidUsageEvent, words: str
) -> None:
    found = reading_of(GRANT, [event], settled_for=SOON)
    assert (found.is_equal, found.polar, found.read_again_after) == (False, words, None)
    assert len(found.polar) <= 64  # what one field of a hash may have


def test_a_copy_beside_the_true_event_does_not_make_it_differ() -> None:
    assert reading_of(GRANT, [other(7), event_of(GRANT)], settled_for=SOON).is_equal


@pytest.mark.parametrize(
    ("settled_for", "wait"), [(0, 5), (3, 5), (60, 60), (600, 600), (3600, 3600), (90_000, 3600)]
)
def test_what_is_not_listed_is_read_again_after_ever_longer_waits(settled_for: int, wait: int) -> None:
    found = reading_of(GRANT, [], settled_for=timedelta(seconds=settled_for))
    assert found.read_again_after == timedelta(seconds=wait)
    assert found.polar == ("nothing" if settled_for >= LONGEST_LAG.total_seconds() else "")
