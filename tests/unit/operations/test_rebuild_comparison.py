"""Events as Polar lists them: of a key the first counts, and none is lost unsaid."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.support.builders import grant_of, some_id
from tests.support.fake_service import HUNDRED
from workers.core.claims import Claim, Standing
from workers.core.grants import Grant, order_subject
from workers.core.usage_events import usage_event
from workers.operations.rebuild.comparison import LedgerComparison

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def row(number: int, grant: Grant, **others: Any) -> dict[str, Any]:
    """Return the event of a grant as Polar lists it."""
    sent = usage_event(grant) | {"id": some_id(number), "timestamp": NOW.isoformat()} | others
    return {name: value for name, value in sent.items() if name != "external_id"}


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [row(number, grant_of(number)) for number in numbers]


def nothing_stands(subjects: Sequence[str]) -> list[Standing]:
    return [Standing(subject=one) for one in subjects]


def read(*listed: list[dict[str, Any]]) -> LedgerComparison:
    """Take in these rows."""
    found = LedgerComparison(rules=HUNDRED)
    for some in listed:
        found.add(some, nothing_stands)
    return found


def test_of_a_list_that_has_everybodys_events_those_of_others_are_not_ours() -> None:
    foreign = row(9, grant_of(9), metadata={"units": 3})
    found = read([*rows(1), foreign, {"id": some_id(10)}])
    assert (found.read, found.invalid) == (1, [])


def test_the_first_event_of_a_key_counts_and_any_other_is_told() -> None:
    again = row(2, grant_of(1, 7))
    found = read(rows(1), [again])
    assert [one.units for one in found.grants()] == [Decimal(10)]
    assert [one.why for one in found.invalid] == ["another event has the same key"]


def test_what_was_copied_is_never_written_over_the_ledger() -> None:
    """A copy may have been given an earlier time than the true event."""
    own = grant_of(1)
    claim = Claim(
        subject=own.subject,
        delivery_id="msg-1",
        claimed_at=NOW,
        grants=(own,),
        settled={own.meter: NOW},
    )
    stands = [Standing(subject=order_subject(some_id(1)), claims=(claim,))]
    for listed in ([row(2, grant_of(1, 7)), *rows(1)], [*rows(1), row(2, grant_of(1, 7))]):
        found = LedgerComparison(rules=HUNDRED)
        found.add(listed, lambda _subjects: stands)
        found.exclude_doubtful(nothing_stands)
        assert found.corrections == {}
        assert {one.kept_because for one in found.differing} <= {"another event has the same key"}
