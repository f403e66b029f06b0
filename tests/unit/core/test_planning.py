"""Real webhooks get the credits of every rule that matches them, added up."""

from decimal import Decimal

import pytest

from config.rules import Rules, Trigger
from tests.support.builders import PRODUCT, fact_like, order_like, rule, rules_of, some_id
from tests.support.recorded_triggers import (
    CREATED,
    CYCLED,
    FINAL,
    KINDS,
    NEW_CUSTOMERS,
    PAID,
    TRIAL,
)
from workers.core.planning import plan_for
from workers.core.plans import Plan

# Each trigger has its own amount, so an amount shows which rules applied.
WORTH = {trigger: 10**power for power, trigger in enumerate(Trigger)}
ALL_PRODUCTS = sorted({order_like(name).product_id or "" for name in PAID} - {""})

BY_ORDER = {Trigger.SUBSCRIPTION_CREATE, Trigger.TRIAL_START, Trigger.SUBSCRIPTION_CYCLE}
WITHOUT_ORDER = {Trigger.SUBSCRIPTION, Trigger.PERIOD}

EVERYTHING = {
    **KINDS,
    **dict.fromkeys(CYCLED, Trigger.PERIOD),
    **dict.fromkeys(CREATED, Trigger.SUBSCRIPTION),
    "subscription_created_trialing": None,  # no single trigger credits it
    **dict.fromkeys(NEW_CUSTOMERS, Trigger.CUSTOMER),
}


def all_embracing(*, products: list[str] | None = None, by_order: bool = True) -> Rules:
    """Return a rule for each trigger; a start or cycle is credited by its order or without, never by both."""
    wanted = {} if products is None else {"products": products}
    left_out = WITHOUT_ORDER if by_order else BY_ORDER
    others = {
        trigger: {} if trigger is Trigger.CUSTOMER else wanted for trigger in WORTH if trigger not in left_out
    }
    return rules_of(
        *[
            rule(f"at-{trigger}", {"api_usage": WORTH[trigger]}, triggers=[str(trigger)], **more)
            for trigger, more in others.items()
        ]
    )


def units(plan: Plan) -> dict[str, Decimal]:
    return {grant.meter: grant.units for grant in plan.grants}


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_real_webhook_gets_the_credits_of_its_own_trigger_and_no_other(name: str) -> None:
    """A rule that names no product applies to every order, even to one without a product."""
    kind = EVERYTHING[name]
    plan = plan_for(fact_like(name), all_embracing(by_order=kind not in WITHOUT_ORDER))
    assert units(plan) == ({} if kind is None else {"api_usage": WORTH[kind]})
    assert bool(plan.skip) is (kind is None)


@pytest.mark.parametrize("name", [name for name in PAID if KINDS[name]])
def test_rules_that_name_every_product_skip_only_the_order_without_one(name: str) -> None:
    plan = plan_for(fact_like(name), all_embracing(products=ALL_PRODUCTS))
    assert bool(plan.grants) is (name != "order_paid_product_null")


@pytest.mark.parametrize("products", [None, ALL_PRODUCTS])
def test_a_final_invoice_is_never_credited(products: list[str] | None) -> None:
    plan = plan_for(fact_like(FINAL), all_embracing(products=products))
    assert (plan.grants, plan.skip) == ((), "final invoice of an ended subscription: never credited")


@pytest.mark.parametrize(
    "reason", ["", "gift", "Purchase", "order.paid", "trial_start", "subscription.cycled"]
)
def test_an_unknown_billing_reason_is_skipped_and_named(reason: str) -> None:
    plan = plan_for(fact_like(billing_reason=reason), all_embracing())
    assert not plan.grants
    assert plan.skip == f"billing reason {reason!r} is not one that rules can name"


@pytest.mark.parametrize(
    "name",
    [
        "order_paid_subscription_update",
        "order_paid_subscription_meter_cycle",
        TRIAL,
        FINAL,
        *CYCLED,
        *CREATED,
        *NEW_CUSTOMERS,
    ],
)
def test_by_default_only_purchases_creations_and_cycles_are_credited(name: str) -> None:
    assert not plan_for(fact_like(name), rules_of(rule("usual", {"api_usage": 1}))).grants


def test_matching_rules_add_up_to_one_grant_per_meter_that_names_them_all() -> None:
    plan = plan_for(
        fact_like(),
        rules_of(
            rule("pack", {"api_usage": 10, "images": 3}, products=[PRODUCT]),
            rule("everybody", {"api_usage": "0.5"}),
            rule("another-product", {"api_usage": 1000}, products=[some_id(1)]),
            rule("renewals", {"api_usage": 1000}, triggers=["subscription_cycle"]),
        ),
    )
    assert units(plan) == {"api_usage": Decimal("10.5"), "images": 3}
    assert [grant.rules for grant in plan.grants] == [("pack", "everybody"), ("pack",)]


def test_a_grant_has_its_meters_property_its_customer_and_its_order() -> None:
    order = order_like()
    (grant,) = plan_for(fact_like(), rules_of(rule("long", {"seconds": 60}))).grants
    assert (grant.property_name, grant.customer_id, grant.order_id) == ("amount", order.customer_id, order.id)


def test_each_part_keeps_whether_a_refund_takes_it_back() -> None:
    rules = rules_of(
        rule("kept", {"api_usage": 1}),
        rule("kept-by-name", {"api_usage": 2}, on_refund="keep"),
        rule("revoked", {"api_usage": 4}, on_refund="revoke"),
    )
    (grant,) = plan_for(fact_like(), rules).grants
    assert [(part.rule, part.revocable) for part in grant.parts] == [
        ("kept", False),
        ("kept-by-name", False),
        ("revoked", True),
    ]


def test_a_plan_carries_the_refund_that_its_order_came_with() -> None:
    fact = fact_like(refunded_amount=100)
    assert plan_for(fact, rules_of(rule("pack", {"api_usage": 1}))).refund == fact.refund is not None
    assert plan_for(fact, rules_of()).refund == fact.refund


def test_rules_that_add_up_to_more_digits_than_polar_keeps_fail_instead_of_rounding() -> None:
    plan = plan_for(
        fact_like(),
        rules_of(rule("much", {"api_usage": 10**11}), rule("little", {"api_usage": "0.00001", "images": 1})),
    )
    assert (plan.grants, plan.skip) == ((), "")
    assert plan.failure == "rules much, little add up to 100000000000.00001 api_usage: too many digits"


def test_rules_whose_revocable_parts_have_more_digits_than_polar_keeps_fail_too() -> None:
    """The sum of all parts has few digits, but the sum that a full refund takes back does not."""
    plan = plan_for(
        fact_like(),
        rules_of(
            rule("much", {"api_usage": 10**11}, on_refund="revoke"),
            rule("little", {"api_usage": "0.00001"}, on_refund="revoke"),
            rule("kept", {"api_usage": "0.99999"}),
        ),
    )
    assert plan.grants == ()
    assert plan.failure == "rules much, little add up to 100000000000.00001 api_usage: too many digits"


def test_without_rules_nobody_is_credited() -> None:
    plan = plan_for(fact_like(), rules_of())
    assert (plan.grants, plan.skip) == ((), f"no rule names product {PRODUCT}")
