"""A lost dispute takes back its share of what rules with ``on_dispute: revoke`` gave, beside any refunds."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    PAID_CENTS,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.examples import examples
from tests.support.fake_service import UNREACHABLE, Shop, end_well, shop_with, sold
from workers.core.claims import Dispute
from workers.core.delivery import Status
from workers.core.delivery_plans import plan_delivery
from workers.core.grants import order_subject
from workers.core.manual import ManualRevoke

DISPUTED = rules_of(rule("pack", {"api_usage": 100}, on_dispute="revoke"))
BOTH = rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke", on_dispute="revoke"))
EACH = rules_of(
    rule("refunded", {"api_usage": 10}, on_refund="revoke"),
    rule("disputed", {"api_usage": 200}, on_dispute="revoke"),
    rule("both", {"api_usage": 3000}, on_refund="revoke", on_dispute="revoke"),
    rule("kept", {"api_usage": 40000}),
)


def taken(shop: Shop) -> dict[str, Decimal]:
    """Return what was taken back, by key without what all keys share."""
    return {
        key.removeprefix("credits:").removesuffix(":api_usage"): Decimal(event["metadata"]["units"])
        for key, event in shop.polar.events.items()
        if ":order:" not in key
    }


def test_a_lost_dispute_takes_back_its_share_under_a_key_of_its_own() -> None:
    shop = sold(DISPUTED)
    outcome = shop.tell(dispute_webhook(7, 300))
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "took back 30 api_usage")
    assert taken(shop) == {f"dispute:{some_id(7)}": 30}
    (event,) = (event for key, event in shop.polar.events.items() if ":dispute:" in key)
    assert event["metadata"] == {
        "units": 30,
        "granted_by": "credit-granter",
        "key": f"credits:dispute:{some_id(7)}:api_usage",
        "order_id": ORDER,
        "rules": "pack",
        "reason": "dispute",
    }


def test_the_share_is_of_the_whole_price_without_tax() -> None:
    body = dispute_webhook(7, 300, net_amount=500, applied_balance_amount=100)
    plan = plan_delivery("credits.dispute", body, DISPUTED).plan
    assert plan is not None
    assert plan.dispute == Dispute(id=some_id(7), share=Fraction(1, 2))
    assert (plan.subject, plan.customer_id, plan.order_id) == (order_subject(ORDER), CUSTOMER, ORDER)


def test_a_refund_after_a_dispute_takes_nothing_twice() -> None:
    shop = sold(BOTH)
    shop.tell(dispute_webhook(7, PAID_CENTS))
    outcome = shop.tell(refund_webhook(PAID_CENTS))
    assert (outcome.status, outcome.reason) == (
        Status.SKIPPED,
        "the refunded share has already been taken back",
    )
    assert taken(shop) == {f"dispute:{some_id(7)}": 100}


def test_a_dispute_after_a_refund_takes_what_is_left_of_one_share() -> None:
    shop = sold(BOTH)
    shop.tell(refund_webhook(600))
    shop.tell(dispute_webhook(7, 700))
    assert taken(shop) == {f"refund:{ORDER}:600": 60, f"dispute:{some_id(7)}": 40}


def test_several_disputes_and_refunds_add_up() -> None:
    shop = sold(BOTH)
    for body in (dispute_webhook(7, 100), refund_webhook(200), dispute_webhook(3, 50), refund_webhook(300)):
        shop.tell(body)
    assert taken(shop) == {
        f"dispute:{some_id(7)}": 10,
        f"refund:{ORDER}:200": 20,
        f"dispute:{some_id(3)}": 5,
        f"refund:{ORDER}:300": 10,
    }


def test_each_part_has_its_own_policies() -> None:
    shop = sold(EACH)
    shop.tell(refund_webhook(500))
    assert taken(shop) == {f"refund:{ORDER}:500": 5 + 1500}
    shop.tell(dispute_webhook(7, 100))
    assert taken(shop)[f"dispute:{some_id(7)}"] == 20 + 300
    shop.tell(dispute_webhook(8, PAID_CENTS))
    assert taken(shop)[f"dispute:{some_id(8)}"] == 180 + 1200
    assert shop.polar.balance(CUSTOMER) == 40000 + 5


def test_the_policy_was_frozen_with_the_grant() -> None:
    shop = sold(DISPUTED)
    shop.rules = rules_of(rule("pack", {"api_usage": 100}))
    shop.tell(dispute_webhook(7, PAID_CENTS))
    assert shop.polar.balance(CUSTOMER) == 0
    kept = sold(rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke")))
    kept.rules = DISPUTED
    outcome = kept.tell(dispute_webhook(7, PAID_CENTS))
    assert outcome.reason == "no rule that credited this order takes credits back (on_dispute: revoke)"
    assert kept.polar.balance(CUSTOMER) == 100


def test_before_its_order_is_credited_a_dispute_counts_later() -> None:
    shop = shop_with(rules=BOTH)
    early = shop.tell(dispute_webhook(7, 250))
    assert (early.status, early.reason) == (
        Status.SKIPPED,
        "this order has not been credited yet: the dispute counts when the order is credited",
    )
    shop.tell(order_webhook())
    assert taken(shop) == {f"dispute:{some_id(7)}": 25}


def test_a_refund_and_a_dispute_before_the_order_is_credited_have_their_own_keys() -> None:
    shop = shop_with(rules=BOTH)
    shop.tell(dispute_webhook(7, 250))
    shop.tell(refund_webhook(300))
    shop.tell(order_webhook())
    assert taken(shop) == {f"refund:{ORDER}:300": 30, f"dispute:{some_id(7)}": 25}


def test_nothing_is_taken_before_polar_has_the_credits() -> None:
    shop = shop_with(order_webhook(), rules=BOTH)
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.clock.advance(100)
    shop.receive("dispute", dispute_webhook(7, PAID_CENTS))
    shop.polar.script = [UNREACHABLE]
    outcomes = shop.work()
    assert ":dispute:" not in "".join(shop.polar.events)
    assert outcomes["dispute"].reason.startswith("this order is not credited at Polar yet")
    end_well(shop)
    assert shop.polar.balance(CUSTOMER) == 0


def test_the_same_dispute_again_takes_nothing_more() -> None:
    shop = sold(DISPUTED)
    shop.tell(dispute_webhook(7, 300))
    outcome = shop.tell(dispute_webhook(7, 300))
    assert outcome.reason == "the disputed share has already been taken back"
    assert len(taken(shop)) == 1


def test_in_another_currency_it_needs_a_person_and_takes_nothing() -> None:
    shop = sold(DISPUTED)
    outcome = shop.tell(dispute_webhook(7, 300, currency="eur"))
    assert outcome.status is Status.FAILED
    assert outcome.reason == (
        "needs review: the dispute is about 300 cents in eur, but the order is in usd: "
        f"if it is right, `credits revoke {ORDER}`; then dismiss this delivery"
    )
    assert taken(shop) == {}
    shop.tell(dispute_webhook(8, 100))
    assert taken(shop) == {f"dispute:{some_id(8)}": 10}


def test_a_spelling_of_the_currency_in_capitals_is_the_same_currency() -> None:
    shop = sold(DISPUTED)
    shop.tell(dispute_webhook(7, 300, currency="USD"))
    assert taken(shop) == {f"dispute:{some_id(7)}": 30}


def test_a_revoke_by_hand_takes_what_disputes_have_left() -> None:
    shop = sold(DISPUTED)
    shop.tell(dispute_webhook(7, 300))
    _, _, body = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()
    shop.tell(body)
    shop.tell(dispute_webhook(8, 700))
    assert taken(shop) == {f"dispute:{some_id(7)}": 30, f"revoke:{ORDER}": 70}


@pytest.mark.parametrize("field", ["dispute", "order"])
def test_a_damaged_delivery_fails_with_the_reason(field: str) -> None:
    body = json.loads(dispute_webhook(7, 300))
    del body["data"][field]
    failure = plan_delivery("credits.dispute", json.dumps(body).encode(), DISPUTED).failure
    assert failure == f"the body cannot be read: data: Object missing required field `{field}`"


CENTS = st.integers(0, PAID_CENTS)
HAPPENS = st.one_of(
    st.just(("paid", 0, 0)),
    st.tuples(st.just("refund"), st.just(0), CENTS),
    st.tuples(st.just("dispute"), st.integers(1, 3), CENTS),
    st.just(("fault", 0, 0)),
    st.just(("work", 0, 0)),
)


@pytest.mark.property
@settings(max_examples=examples(300))
@given(st.lists(HAPPENS, max_size=12), st.integers(0, 12))
def test_after_any_interleaving_each_part_has_lost_exactly_its_share(
    story: list[tuple[str, int, int]], paid_at: int
) -> None:
    """Orders, refunds and disputes arrive in any order, between faults of Polar, and settle at any time."""
    shop = shop_with(rules=EACH)
    refunded, disputed = 0, dict[int, int]()
    for at, (what, number, cents) in enumerate([*story[:paid_at], ("paid", 0, 0), *story[paid_at:]]):
        match what:
            case "paid":
                shop.receive(f"msg-{at}", order_webhook())
            case "refund":
                shop.receive(f"msg-{at}", refund_webhook(cents))
                refunded = max(refunded, cents)
            case "dispute":
                amount = disputed.setdefault(number, cents)
                shop.receive(f"dispute-{some_id(number)}", dispute_webhook(number, amount))
            case "fault":
                shop.polar.script = [UNREACHABLE]
                shop.work()
                shop.polar.script = []
            case _:
                shop.clock.advance(1_000)
                shop.work()
        assert shop.polar.balance(CUSTOMER) >= 0
    end_well(shop)
    lost = sum(disputed.values())
    expected = {
        "refunded": 10 * min(PAID_CENTS, refunded) // PAID_CENTS,
        "disputed": 200 * min(PAID_CENTS, lost) // PAID_CENTS,
        "both": 3000 * min(PAID_CENTS, refunded + lost) // PAID_CENTS,
    }
    assert sum(taken(shop).values(), Decimal(0)) == sum(expected.values())
    claims = shop.store.taken.get(order_subject(ORDER), {}).get("api_usage", {})
    assert {name: int(claims.get(name, 0)) for name in expected} == expected
