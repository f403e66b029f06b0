"""A refund takes back its share of the revocable parts, less what was taken before."""

from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.support.builders import CUSTOMER, METERS, ORDER, order_like
from tests.support.reversals import refund_take_back
from workers.core.claims import Claim, Refund, Standing
from workers.core.grants import Grant, Part, order_subject, refund_subject
from workers.core.later_claims import TakeBack
from workers.core.order_refunds import refund_of
from workers.core.takebacks import why_none_due

_THEN = datetime(2026, 11, 21, tzinfo=UTC)
SUBJECT = order_subject(ORDER)
HALF = Refund(amount=500, share=Fraction(1, 2))
WHOLE = Refund(amount=1000, share=Fraction(1))

# The share


@pytest.mark.parametrize(
    ("name", "amount", "share"),
    [
        ("order_refunded_partial", 300, Fraction(3, 10)),
        ("order_refunded_second_partial", 500, Fraction(1, 2)),
        ("order_refunded_full", 1000, Fraction(1)),
    ],
)
def test_a_real_refund_is_its_share_of_what_was_paid(name: str, amount: int, share: Fraction) -> None:
    assert refund_of(order_like(name)) == Refund(amount=amount, share=share)


@pytest.mark.parametrize(
    ("data", "share"),
    [
        ({"refunded_amount": 250}, Fraction(1, 4)),
        ({"refunded_amount": 250, "net_amount": 500, "applied_balance_amount": 500}, Fraction(1, 4)),
        ({"refunded_amount": 333, "net_amount": 999}, Fraction(1, 3)),
        ({"refunded_amount": 999}, Fraction(999, 1000)),
        ({"refunded_amount": 1000}, Fraction(1)),
        ({"refunded_amount": 1001}, Fraction(1)),
        ({"refunded_amount": 10**15}, Fraction(1)),
        ({"refunded_amount": 1, "net_amount": 0}, Fraction(1)),
        ({"refunded_amount": 1, "net_amount": -700}, Fraction(1)),
        ({"refunded_amount": 1, "net_amount": 500, "applied_balance_amount": -500}, Fraction(1)),
        ({"refunded_amount": 1, "status": "refunded"}, Fraction(1)),
        ({"refunded_amount": 0, "net_amount": 0, "status": "refunded"}, Fraction(1)),
    ],
    ids=str,
)
def test_the_share_is_of_what_was_paid_without_tax_and_never_more_than_all(
    data: dict[str, Any], share: Fraction
) -> None:
    refund = refund_of(order_like(**data))
    assert refund is not None
    assert refund.share == share


@pytest.mark.parametrize("status", ["paid", "partially_refunded", "pending"])
def test_an_order_without_refunds_has_no_refund(status: str) -> None:
    assert refund_of(order_like(refunded_amount=0, status=status)) is None


# What is due


def part(rule: str, units: str, *, kept: bool = False) -> Part:
    return Part(rule=rule, units=Decimal(units), revocable=not kept)


def standing(
    *parts: Part,
    refund: Refund | None = HALF,
    taken: dict[str, str] | None = None,
    settled: Collection[str] = ("api_usage",),
) -> Standing:
    """Return the standing of an order that was credited these parts on one meter."""
    claim = Claim(
        subject=SUBJECT,
        delivery_id="msg-1",
        claimed_at=_THEN,
        grants=(grant("api_usage", *parts),),
        settled=dict.fromkeys(settled, _THEN),
        order_id=ORDER,
    )
    before = {rule: Decimal(units) for rule, units in (taken or {}).items()}
    return Standing(
        subject=SUBJECT, claims=(claim,), refund=refund, taken={"api_usage": before} if before else {}
    )


def grant(meter: str, *parts: Part) -> Grant:
    return Grant(
        subject=SUBJECT,
        customer_id=CUSTOMER,
        meter=meter,
        property_name=METERS[meter],
        parts=parts,
        order_id=ORDER,
    )


def due(stands: Standing) -> TakeBack:
    found = refund_take_back(stands, "msg-2")
    assert found is not None
    return found


def shares(stands: Standing) -> dict[str, Decimal]:
    """Return the credits taken back, by rule."""
    (only,) = due(stands).grants
    return {part.rule: part.units for part in only.parts}


def test_only_revocable_parts_are_taken_back() -> None:
    stands = standing(part("a", "10"), part("kept", "100", kept=True), part("b", "5"))
    assert shares(stands) == {"a": -5, "b": -2}


def test_its_key_names_the_order_and_the_total_refunded_so_far() -> None:
    taking = due(standing(part("a", "10")))
    (only,) = taking.grants
    assert only.key == f"credits:refund:{ORDER}:500:api_usage"
    assert (only.customer_id, only.property_name, only.order_id) == (CUSTOMER, "units", ORDER)
    assert (taking.subject, taking.delivery_id) == (SUBJECT, "msg-2")


def test_what_was_taken_before_is_not_taken_again() -> None:
    stands = standing(part("a", "10"), part("b", "4"), taken={"a": "3", "b": "2"})
    assert shares(stands) == {"a": -2}
    assert due(stands).before == {"api_usage": {"a": 3, "b": 2}}
    assert due(stands).after == {"api_usage": {"a": 5, "b": 2}}


def test_each_meter_is_taken_back_on_its_own() -> None:
    stands = standing(part("a", "10"))
    (claim,) = stands.claims
    both = Claim(
        subject=SUBJECT,
        delivery_id="msg-1",
        claimed_at=claim.claimed_at,
        grants=(*claim.grants, grant("seconds", part("a", "60"), part("b", "1", kept=True))),
        settled={"api_usage": _THEN, "seconds": _THEN},
        order_id=ORDER,
    )
    taking = due(Standing(subject=SUBJECT, claims=(both,), refund=HALF))
    assert [(one.meter, one.property_name, one.units) for one in taking.grants] == [
        ("api_usage", "units", Decimal(-5)),
        ("seconds", "amount", Decimal(-30)),
    ]


@pytest.mark.parametrize(
    ("units", "share", "taken"),
    [
        ("10", "1/3", "3"),
        ("10", "2/3", "6"),
        ("1000", "1/7", "142"),
        ("10", "999999/1000000", "9"),
        ("999999999999999", "1/3", "333333333333333"),
        ("10.5", "1/3", "3.5"),
        ("0.5", "1/3", "0.166666"),
        ("0.000000000001", "1/1", "0.000000000001"),  # the rule itself is finer than a millionth
        ("0.1234567", "1/2", "0.061728"),
        ("99999999999.9999", "1/3", "33333333333.3333"),  # as many digits as a float keeps
        ("1000000000.5", "1/3", "333333333.5"),
        ("1000000001.5", "1/3", "333333333.83333"),
    ],
)
def test_a_share_is_rounded_down_in_the_customers_favour(units: str, share: str, taken: str) -> None:
    refund = Refund(amount=500, share=Fraction(share))
    assert shares(standing(part("a", units), refund=refund)) == {"a": -Decimal(taken)}


def test_one_fraction_on_the_meter_makes_all_shares_there_fractions() -> None:
    """Whole steps would take a whole credit less from each rule, and make no sum whole."""
    third = Refund(amount=333, share=Fraction(1, 3))
    stands = standing(part("a", "10"), part("kept", "0.5", kept=True), refund=third)
    assert shares(stands) == {"a": Decimal("-3.333333")}


def test_a_full_refund_takes_the_rest_to_the_last_digit() -> None:
    stands = standing(part("a", "10.5"), refund=WHOLE, taken={"a": "3.333333"})
    assert shares(stands) == {"a": Decimal("-7.166667")}


def test_a_full_refund_takes_all_of_each_part_though_they_add_up_to_fewer_digits() -> None:
    """Together they are ten billion, so a partial refund takes back in steps of 15 digits."""
    parts = part("a", "0.000001"), part("b", "9999999999.999999")
    assert shares(standing(*parts)) == {"b": Decimal("-4999999999.9999")}
    assert shares(standing(*parts, refund=WHOLE)) == {one.rule: -one.units for one in parts}


@pytest.mark.parametrize(
    "stands",
    [
        Standing(subject=SUBJECT, refund=WHOLE),
        standing(part("a", "10"), settled=()),
        standing(part("a", "10"), refund=None),
        standing(part("kept", "10", kept=True)),
        standing(part("a", "10"), taken={"a": "5"}),
        standing(part("a", "10"), taken={"a": "7"}),  # a refund that arrived after a greater one
        standing(part("a", "1"), refund=Refund(amount=999, share=Fraction(999, 1000))),
        standing(part("a", "0.5"), refund=Refund(amount=1, share=Fraction(1, 10**9))),
    ],
    ids=[
        "not credited",
        "not at Polar",
        "not refunded",
        "kept",
        "taken",
        "more taken",
        "less than a credit",
        "too little",
    ],
)
def test_nothing_is_due(stands: Standing) -> None:
    assert refund_take_back(stands, "msg-2") is None


def test_a_refund_takes_its_share_only_once() -> None:
    """Its take-back is frozen under its key; a second reading of the same refund changes nothing."""
    stands = standing(part("a", "10"), taken={"a": "3"})
    seen = Claim(
        subject=refund_subject(ORDER, 500),
        delivery_id="msg-2",
        claimed_at=_THEN,
        order_id=ORDER,
    )
    again = Standing(subject=SUBJECT, claims=(*stands.claims, seen), refund=HALF, taken=stands.taken)
    assert refund_take_back(stands, "msg-3") is not None
    assert refund_take_back(again, "msg-3") is None


# Why nothing is due


@pytest.mark.parametrize(
    ("stands", "told", "words"),
    [
        (standing(part("a", "1"), refund=None), None, "this order has not been refunded"),
        (
            Standing(subject=SUBJECT, refund=HALF),
            HALF,
            "this order has not been credited yet: the refund counts when the order is credited",
        ),
        (
            standing(part("a", "10"), settled=()),
            HALF,
            "this order is not credited at Polar yet: the refund counts when the order is credited",
        ),
        (
            standing(part("kept", "10", kept=True)),
            HALF,
            "no rule that credited this order takes credits back (on_refund: revoke)",
        ),
        (
            standing(part("a", "10"), refund=WHOLE, taken={"a": "10"}),
            HALF,
            "a later refund, 1000 in total, has already been processed",
        ),
        (
            standing(part("a", "10"), taken={"a": "5"}),
            HALF,
            "the refunded share has already been taken back",
        ),
    ],
    ids=["no refund", "not credited", "not at Polar", "kept", "later", "again"],
)
def test_a_refund_that_takes_nothing_says_why(stands: Standing, told: Refund | None, words: str) -> None:
    assert why_none_due(stands, told, None) == words
