"""Whether a later instalment of an order is given, waits or ends."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from config.intervals import Every
from tests.support.builders import CUSTOMER, some_id
from tests.support.instalments import (
    ACTIVE,
    BEGAN,
    ORDER,
    PRODUCT,
    SUBSCRIPTION,
    after,
    decide,
    given,
    own_grant,
    part,
    request,
    settled,
    subject,
    yearly,
)
from workers.core.claims import Dispute, Refund, Standing
from workers.core.grants import Grant, grant_key, instalment_number, order_of, revoke_subject, subject_of
from workers.core.instalment_delivery import read_instalment_request
from workers.core.instalments import (
    End,
    Give,
    SubscriptionState,
    Wait,
    decide_instalment,
)
from workers.errors import UnreadablePayloadError

HALF = Refund(amount=500, share=Fraction(1, 2))


def amounts(grant: Grant) -> dict[str, Decimal]:
    """Return what each rule gives."""
    return {part.rule: part.units for part in grant.parts}


def test_an_instalment_gives_the_frozen_amount_at_its_date_under_a_key_of_its_own() -> None:
    one = given(yearly(), 2)
    assert (one.grant.subject, one.grant.key) == (subject(2), f"credits:instalment:{ORDER}:2:api_usage")
    assert (one.grant.units, one.grant.customer_id, one.grant.order_id) == (Decimal(1000), CUSTOMER, ORDER)
    assert (one.number, one.delivery_id, one.computed_from) == (
        2,
        "instalment-2",
        own_grant(*one.grant.parts),
    )


def test_the_key_of_an_instalment_tells_its_order_number_and_meter() -> None:
    key = "credits:instalment:" + ORDER + ":12:tokens: in"
    assert subject_of(key, "tokens: in") == key == grant_key(key, "tokens: in")
    assert (order_of(key), instalment_number(key)) == (ORDER, 12)


def test_only_parts_that_are_repeated_are_given_again() -> None:
    standing = yearly(part("bonus", 50, every=None), part("yearly", 1000), part("more", 5))
    assert amounts(given(standing).grant) == {"yearly": 1000, "more": 5}


def test_nothing_is_given_before_its_date_by_polars_clock() -> None:
    early = decide(yearly(), 2, late=-timedelta(milliseconds=1))
    date = datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert early == Wait(until=date, reason="not before 2026-02-28T12:00:00Z", is_early=True)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=40), timedelta(days=400)])
def test_a_late_instalment_is_given_late(late: timedelta) -> None:
    assert isinstance(decide(yearly(), 2, late=late), Give)


def test_the_last_instalment_is_the_one_before_the_period_ends() -> None:
    assert isinstance(decide(after(yearly(), 11), 12), Give)
    assert decide(after(yearly(), 12), 13) == End(reason="the paid period is over")


@pytest.mark.parametrize("status", ["past_due", "unpaid", "paused", "incomplete", "some_new_status"])
def test_a_subscription_that_is_not_paid_is_looked_at_again_a_day_later(status: str) -> None:
    decision = decide(yearly(), 2, SubscriptionState(status=status, product_id=PRODUCT))
    tomorrow = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert decision == Wait(until=tomorrow, reason=f"the subscription is {status}")


def test_a_subscription_that_polar_does_not_find_ends_nothing() -> None:
    decision = decide(yearly(), 2, None)
    assert isinstance(decision, Wait)
    assert decision.reason == "Polar does not find the subscription"


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_a_paid_subscription_is_credited(status: str) -> None:
    assert isinstance(decide(yearly(), 2, SubscriptionState(status=status, product_id=PRODUCT)), Give)


OTHER_PRODUCT = "the subscription has another product"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (
            SubscriptionState(status="canceled", product_id=PRODUCT, ended_at=BEGAN),
            "the subscription ended at 2026-01-31T12:00:00Z",
        ),
        (
            SubscriptionState(status="active", product_id=PRODUCT, ended_at=BEGAN),
            "the subscription ended at 2026-01-31T12:00:00Z",
        ),
        (SubscriptionState(status="canceled", product_id=PRODUCT), "the subscription ended"),
        (
            SubscriptionState(status="past_due", product_id=some_id(99)),
            "the subscription has another product",
        ),
        (SubscriptionState(status="active", product_id=None), "the subscription has another product"),
    ],
)
def test_an_end_or_another_product_ends_the_rest(state: SubscriptionState, reason: str) -> None:
    assert decide(yearly(), 2, state) == End(reason=reason)


KEPT = yearly(part("yearly", 1000))
REVOKED = settled(
    [replace(own_grant(part("yearly", -1000)), subject=revoke_subject(ORDER, "api_usage"))],
    delivery="revoke-1",
)


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (replace(KEPT, refund=Refund(amount=1000, share=Fraction(1))), "the order was refunded in full"),
        (
            replace(KEPT, disputes=(Dispute(id=some_id(5), share=Fraction(1, 10)),)),
            "a dispute of the order was lost",
        ),
        (replace(KEPT, claims=(*KEPT.claims, REVOKED)), "revoked by hand"),
        (replace(KEPT, superseded={"api_usage": some_id(6)}), f"replaced by order {some_id(6)}"),
        (replace(KEPT, ended={"api_usage": "as it was"}), "as it was"),
    ],
)
def test_what_the_ledger_knows_ends_the_rest_whatever_the_subscription(
    standing: Standing, reason: str
) -> None:
    assert decide(standing, 2, None) == decide(standing, 2) == End(reason=reason)
    assert len(reason) <= 64


def test_a_revoke_that_polar_lacks_ends_nothing_yet_because_a_person_may_dismiss_it() -> None:
    standing = replace(KEPT, claims=(*KEPT.claims, replace(REVOKED, settled={})))
    decision = decide(standing, 2)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.is_early) == ("a revoke by hand is not at Polar yet", False)
    dismissed = replace(KEPT, claims=(*KEPT.claims, replace(REVOKED, settled={}, is_dismissed=True)))
    assert isinstance(decide(dismissed, 2), Give)


def test_a_later_order_ends_nothing_that_was_due_before_it_and_is_late_for_no_reason_of_polar() -> None:
    since = {"api_usage": datetime(2026, 3, 15, tzinfo=UTC)}
    standing = replace(KEPT, superseded={"api_usage": some_id(6)}, superseded_at=since)
    assert isinstance(decide(standing, 2), Give)
    replaced = End(reason=f"replaced by order {some_id(6)}")
    assert decide(standing, 3) == replaced
    assert decide(replace(standing, waits={"api_usage": "the subscription is paused"}), 2) == replaced


def test_what_ends_one_meter_does_not_end_another() -> None:
    both = replace(
        KEPT.claims[0], grants=(*KEPT.claims[0].grants, own_grant(part("yearly", 7), meter="images"))
    )
    standing = replace(
        KEPT, claims=(both, REVOKED), superseded={"images": some_id(6)}, ended={"seconds": "other"}
    )
    assert isinstance(decide(standing, 2), End)
    now = datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert isinstance(
        decide_instalment(request(2, "images"), replace(standing, superseded={}), ACTIVE, now), Give
    )


def test_a_dismissed_order_has_no_further_instalments() -> None:
    unsent = replace(KEPT.claims[0], settled={})
    standing = replace(KEPT, claims=(unsent,), dismissed_with="msg-" + "x" * 100)
    decision = decide(standing, 2)
    assert isinstance(decision, End)
    assert decision.reason.startswith("dismissed with delivery msg-x")
    assert len(decision.reason) == 64


def test_a_meter_without_instalments_has_none() -> None:
    standing = replace(yearly(part("once", 10, every=None)), period=yearly().period)
    assert decide(standing, 2) == End(reason="the order has no instalments on this meter")


def test_a_claim_that_the_ledger_has_lost_is_waited_for() -> None:
    decision = decide_instalment(request(), Standing(subject=yearly().subject), ACTIVE, BEGAN)
    assert decision == Wait(until=BEGAN + timedelta(days=1), reason="the ledger has lost its order's claim")


def test_after_a_partial_refund_an_instalment_is_smaller() -> None:
    standing = replace(yearly(part("back", 1001, "refund"), part("kept", 10)), refund=HALF)
    assert amounts(given(standing).grant) == {"back": 501, "kept": 10}
    assert given(standing).refund == HALF


def test_an_instalment_after_a_refund_never_gives_nothing() -> None:
    almost = Refund(amount=999, share=Fraction(999, 1000))
    assert given(replace(yearly(part("back", 1, "refund")), refund=almost)).grant.units == Decimal(1)


def test_weeks_follow_weeks() -> None:
    standing = yearly(part("weekly", 10, every=Every.WEEK))
    assert isinstance(decide(standing, 52), Give)
    assert isinstance(decide(standing, 53), Give)
    assert decide(standing, 54) == End(reason="the paid period is over")


def test_a_request_is_read_from_the_body_of_its_delivery() -> None:
    data = {
        "order_id": ORDER,
        "number": 2,
        "meter": "api_usage",
        "customer_id": CUSTOMER,
        "subscription_id": SUBSCRIPTION,
        "product_id": PRODUCT,
    }
    assert read_instalment_request(json.dumps({"type": "x", "data": data}).encode()) == request()
    with pytest.raises(UnreadablePayloadError):
        read_instalment_request(json.dumps({"data": data | {"number": 1}}).encode())
