"""What is to come of an order with instalments, as far as the ledger knows."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from msgspec.structs import replace

from tests.support.instalments import after, given, part, with_instalment, yearly
from workers.core.claims import Refund, Standing
from workers.core.upcoming import ended, upcoming


def numbers(standing: Standing) -> list[int]:
    return [one.number for one in upcoming(standing)]


def test_all_that_is_to_come_is_told_with_its_date() -> None:
    found = upcoming(yearly())
    assert [one.number for one in found] == list(range(2, 13))
    assert found[0].at == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert found[1].at == datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert {one.grant.units for one in found} == {1000}
    assert found[0].grant.key == given(yearly()).grant.key


def test_what_was_given_is_no_longer_to_come() -> None:
    assert numbers(after(yearly(), 4)) == list(range(5, 13))
    assert numbers(after(yearly(), 12)) == []


def test_what_is_claimed_but_not_at_polar_is_to_come_with_its_frozen_amount() -> None:
    claimed = with_instalment(yearly(), given(yearly()), is_settled=False)
    half = replace(claimed, refund=Refund(amount=500, share=Fraction(1, 2)))
    assert numbers(half)[:2] == [2, 3]
    assert [one.grant.units for one in upcoming(half)][:2] == [1000, 500]


def test_a_dismissed_one_and_those_behind_it_rest() -> None:
    claimed = with_instalment(yearly(), given(yearly()), is_settled=False)
    own, instalment = claimed.claims
    resting = replace(claimed, claims=(own, replace(instalment, is_dismissed=True)))
    assert numbers(resting) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ended": {"api_usage": "the subscription ended"}}, "the subscription ended"),
        ({"superseded": {"api_usage": "another"}}, "replaced by order another"),
        ({"refund": Refund(amount=1, share=Fraction(1))}, "the order was refunded in full"),
    ],
)
def test_where_they_have_ended_the_reason_is_told(change: dict[str, object], reason: str) -> None:
    standing = replace(yearly(), **change)
    assert numbers(standing) == []
    assert ended(standing) == {"api_usage": reason}


def test_the_next_one_tells_why_it_waits() -> None:
    found = upcoming(replace(yearly(), waits={"api_usage": "the subscription is past_due"}))
    assert [one.waits for one in found[:2]] == ["the subscription is past_due", ""]


def test_an_order_without_instalments_has_none_to_come() -> None:
    standing = replace(yearly(part("once", 10, every=None)), period=None)
    assert (numbers(standing), ended(standing)) == ([], {})
