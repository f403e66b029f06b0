"""However an order is refunded in parts: in the end all that was granted is taken, and sums are exact."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.cel.numbers import CREDITS_LIMIT
from tests.support.builders import CUSTOMER, ORDER
from tests.support.reversals import refund_take_back
from workers.core.claims import Claim, Refund, Standing
from workers.core.grants import Grant, Part, order_subject
from workers.core.usage_events import usage_event
from workers.polar.sums import read_sum

pytestmark = pytest.mark.property

SUBJECT = order_subject(ORDER)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRICE = 997  # cents; a prime, so that few shares are round

WHOLE = st.integers(1, int(CREDITS_LIMIT) // 4).map(Decimal)
FRACTIONS = st.decimals(min_value=Decimal("0.01"), max_value=100_000, places=2)
REFUNDS = st.lists(st.integers(1, PRICE - 1), max_size=8)


def grant_of_parts(units: Sequence[Decimal]) -> Grant:
    parts = tuple(Part(rule=f"rule-{n}", units=one, revocable=True) for n, one in enumerate(units))
    return Grant(
        subject=SUBJECT,
        customer_id=CUSTOMER,
        meter="api_usage",
        property_name="units",
        parts=parts,
        order_id=ORDER,
    )


def take_all_back(grant: Grant, refunded: Sequence[int]) -> list[Grant]:
    """Refund the order up to each of these amounts, then fully; return the take-backs."""
    claim = Claim(
        subject=SUBJECT,
        delivery_id="msg",
        claimed_at=NOW,
        grants=(grant,),
        settled={grant.meter: NOW},
        order_id=ORDER,
    )
    standing = Standing(subject=SUBJECT, claims=(claim,))
    found: list[Grant] = []
    for cents in (*sorted(refunded), PRICE):
        refund = Refund(amount=cents, share=Fraction(cents, PRICE))
        standing = replace(standing, refund=refund)
        if taking := refund_take_back(standing, "msg"):
            found += taking.grants
            standing = replace(standing, taken=taking.after)
    return found


def polars_sum(grants: Sequence[Grant]) -> float:
    """Return the balance as Polar adds it up: binary floats, in the order of their arrival."""
    total = 0.0
    for one in grants:
        total -= float(usage_event(one)["metadata"]["units"])
    return total


@given(st.lists(WHOLE | FRACTIONS, min_size=1, max_size=3), REFUNDS)
def test_all_is_taken_back_to_the_last_digit_and_each_part_never_below_zero(
    units: list[Decimal], refunded: list[int]
) -> None:
    grant = grant_of_parts(units)
    taken = take_all_back(grant, refunded)
    assert sum((one.units for one in taken), grant.units) == 0
    assert all(part.units < 0 for one in taken for part in one.parts)


@given(st.lists(WHOLE, min_size=1, max_size=3), REFUNDS)
def test_whole_credits_are_taken_back_whole_so_that_polars_sum_is_exact(
    units: list[Decimal], refunded: list[int]
) -> None:
    grant = grant_of_parts(units)
    events = [grant]
    for one in take_all_back(grant, refunded):
        events.append(one)
        assert all(part.units % 1 == 0 for part in one.parts)
        assert Decimal(polars_sum(events)) == sum(each.units for each in events)
    assert polars_sum(events) == 0


@given(st.lists(FRACTIONS, min_size=1, max_size=3), REFUNDS)
def test_a_sum_of_fractions_is_shown_exactly(units: list[Decimal], refunded: list[int]) -> None:
    grant = grant_of_parts(units)
    assert read_sum(polars_sum([grant, *take_all_back(grant, refunded)])) == 0


@given(st.lists(WHOLE | FRACTIONS, min_size=1, max_size=3), st.integers(1, PRICE - 1))
def test_no_more_than_the_share_is_taken(units: list[Decimal], cents: int) -> None:
    grant = grant_of_parts(units)
    partial = take_all_back(grant, [cents])[:-1]
    assert sum(Fraction(-one.units) for one in partial) <= Fraction(grant.units) * Fraction(cents, PRICE)
