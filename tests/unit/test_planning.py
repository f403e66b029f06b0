"""What the rules make of paid orders: which apply, what they add up to, and why there is nothing."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rules import Rules, Trigger
from tests.builders import PRODUCT, order_like, rule, rules_of, some_id
from tests.conftest import PAYLOADS, payload
from tests.strategies import CREATED, DrawnRule, KnownOrder, orders, rule_sets, written
from workers.events import Order, read_order
from workers.planning import Plan, plan_order, trigger_of

PAID = sorted(path.stem for path in PAYLOADS.glob("order_paid_*.json") if not path.stem.endswith(".headers"))
FINAL = "order_paid_subscription_cancel_final_invoice"
TRIAL = "order_paid_trial_start_zero"
CONVERTED = "order_paid_subscription_cycle_after_trial"

KINDS = {
    "order_paid_discount_100pct_zero": Trigger.PURCHASE,
    "order_paid_discount_25pct": Trigger.PURCHASE,
    "order_paid_free": Trigger.PURCHASE,
    "order_paid_product_null": Trigger.PURCHASE,
    "order_paid_purchase": Trigger.PURCHASE,
    "order_paid_purchase_no_external_id": Trigger.PURCHASE,
    "order_paid_seats_5": Trigger.PURCHASE,
    "order_paid_unicode_tax": Trigger.PURCHASE,
    "order_paid_subscription_create": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_cycle": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_2": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_after_trial": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_late": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_seats_order_seats_null": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cancel_final_invoice": None,
    "order_paid_subscription_meter_cycle": Trigger.SUBSCRIPTION_METER_CYCLE,
    "order_paid_subscription_update": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_subscription_update_negative_total": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_trial_start_zero": Trigger.TRIAL_START,
}


def order_of(name: str) -> Order:
    return read_order(payload(name))


# Each trigger is worth an amount of its own, so that an amount tells which rules applied.
WORTH = {trigger: 10**power for power, trigger in enumerate(Trigger)}
ALL_PRODUCTS = sorted({order_of(name).product_id or "" for name in PAID} - {""})


def all_embracing(*, products: list[str] | None) -> Rules:
    """Return rules for these products, one for each trigger."""
    others = {} if products is None else {"products": products}
    return rules_of(
        *[
            rule(f"at-{trigger}", {"api_usage": units}, triggers=[str(trigger)], **others)
            for trigger, units in WORTH.items()
        ]
    )


def units(plan: Plan) -> dict[str, Decimal]:
    return {grant.meter: grant.units for grant in plan.grants}


def test_the_table_names_every_paid_order_that_polar_sent() -> None:
    assert sorted(KINDS) == PAID


@pytest.mark.parametrize("name", PAID)
def test_a_real_order_is_what_it_is(name: str) -> None:
    assert trigger_of(order_of(name)) is KINDS[name]


@pytest.mark.parametrize("name", PAID)
def test_a_real_order_gets_the_credits_of_its_own_trigger_and_no_other(name: str) -> None:
    """Rules that name no product are for every order, also for one without a product."""
    kind = KINDS[name]
    plan = plan_order(order_of(name), all_embracing(products=None))
    assert units(plan) == ({} if kind is None else {"api_usage": WORTH[kind]})
    assert bool(plan.skip) is (kind is None)


@pytest.mark.parametrize("name", [name for name in PAID if KINDS[name]])
def test_rules_that_name_every_product_miss_only_the_order_without_one(name: str) -> None:
    plan = plan_order(order_of(name), all_embracing(products=ALL_PRODUCTS))
    assert bool(plan.grants) is (name != "order_paid_product_null")


def test_an_order_without_a_product_is_skipped_with_a_reason_that_says_so() -> None:
    plan = plan_order(order_of("order_paid_product_null"), all_embracing(products=ALL_PRODUCTS))
    assert (plan.grants, plan.skip) == ((), "no rule names product (none)")


@pytest.mark.parametrize("products", [None, ALL_PRODUCTS])
def test_a_final_invoice_is_never_credited(products: list[str] | None) -> None:
    plan = plan_order(order_of(FINAL), all_embracing(products=products))
    assert (plan.grants, plan.skip) == ((), "final invoice of an ended subscription: never credited")


def test_a_trials_start_is_credited_by_no_rule_that_does_not_name_it() -> None:
    plan = plan_order(order_of(TRIAL), rules_of(rule("usual", {"api_usage": 1})))
    assert not plan.grants
    assert plan.skip == f"no rule for product {order_of(TRIAL).product_id} has the trigger trial_start"


@pytest.mark.parametrize(
    "name",
    ["order_paid_subscription_update", "order_paid_subscription_meter_cycle", TRIAL, FINAL],
)
def test_by_default_only_purchases_creations_and_cycles_are_credited(name: str) -> None:
    assert not plan_order(order_of(name), rules_of(rule("usual", {"api_usage": 1}))).grants


def test_a_subscription_bought_at_the_end_of_its_trial_is_a_creation() -> None:
    subscription = order_of(TRIAL).subscription
    assert subscription is not None
    assert subscription.trial_end is not None
    order = order_like(TRIAL, created_at=subscription.trial_end.isoformat())
    assert trigger_of(order) is Trigger.SUBSCRIPTION_CREATE


def test_the_first_paid_cycle_after_a_trial_is_a_cycle_from_the_very_end_of_the_trial() -> None:
    subscription = order_of(CONVERTED).subscription
    assert subscription is not None
    assert subscription.trial_end is not None
    order = order_like(CONVERTED, created_at=subscription.trial_end.isoformat())
    assert trigger_of(order) is Trigger.SUBSCRIPTION_CYCLE


def test_a_cycle_created_the_moment_its_subscription_ended_is_a_final_invoice() -> None:
    subscription = order_of(FINAL).subscription
    assert subscription is not None
    assert subscription.ended_at is not None
    at_the_end = order_like(FINAL, created_at=subscription.ended_at.isoformat())
    before = order_like(FINAL, created_at=(subscription.ended_at - timedelta(microseconds=1)).isoformat())
    assert trigger_of(at_the_end) is None
    assert trigger_of(before) is Trigger.SUBSCRIPTION_CYCLE


@pytest.mark.parametrize("reason", ["", "gift", "Purchase", "order.paid"])
def test_a_billing_reason_unknown_to_us_is_skipped_and_named(reason: str) -> None:
    plan = plan_order(order_like(billing_reason=reason), all_embracing(products=None))
    assert not plan.grants
    assert plan.skip == f"billing reason {reason!r} is none that rules can name"


def test_orders_created_before_credit_from_are_somebody_elses() -> None:
    rules = rules_of(rule("any", {"api_usage": 1}), credit_from="2026-11-21T00:00:00Z")
    before = plan_order(order_like(created_at="2026-11-20T23:59:59.999999Z"), rules)
    assert (before.grants, before.skip) == ((), "created 2026-11-20T23:59:59Z, before credit_from")
    assert plan_order(order_like(created_at="2026-11-21T00:00:00Z"), rules).grants
    assert plan_order(order_like(created_at="2026-11-21T01:00:00+01:00"), rules).grants


def test_a_skip_tells_its_time_in_utc_whatever_zone_the_order_uses() -> None:
    rules = rules_of(rule("any", {"api_usage": 1}), credit_from="2026-11-21T00:00:00Z")
    plan = plan_order(order_like(created_at="2026-11-21T00:30:00+01:00"), rules)
    assert plan.skip == "created 2026-11-20T23:30:00Z, before credit_from"


def test_rules_that_match_add_up_to_one_grant_a_meter_that_names_them_all() -> None:
    plan = plan_order(
        order_like(),
        rules_of(
            rule("pack", {"api_usage": 10, "images": 3}, products=[PRODUCT]),
            rule("everybody", {"api_usage": "0.5"}),
            rule("another-product", {"api_usage": 1000}, products=[some_id(1)]),
            rule("renewals", {"api_usage": 1000}, triggers=["subscription_cycle"]),
        ),
    )
    assert units(plan) == {"api_usage": Decimal("10.5"), "images": 3}
    assert [grant.rules for grant in plan.grants] == [("pack", "everybody"), ("pack",)]


def test_a_grant_has_its_meters_property_and_the_orders_customer() -> None:
    (grant,) = plan_order(order_like(), rules_of(rule("long", {"seconds": 60}))).grants
    assert (grant.property_name, grant.customer_id) == ("amount", order_like().customer_id)


def test_rules_that_add_up_to_more_digits_than_polar_keeps_fail_instead_of_rounding() -> None:
    plan = plan_order(
        order_like(),
        rules_of(rule("much", {"api_usage": 10**11}), rule("little", {"api_usage": "0.00001", "images": 1})),
    )
    assert (plan.grants, plan.skip) == ((), "")
    assert plan.failure == "rules much, little add up to 100000000000.00001 api_usage: too many digits"


def test_without_rules_nobody_is_credited() -> None:
    plan = plan_order(order_like(), rules_of())
    assert (plan.grants, plan.skip) == ((), f"no rule names product {PRODUCT}")


def expected_units(known: KnownOrder, drawn: list[DrawnRule]) -> dict[str, Decimal]:
    """Return what the contract says in other words: the sum over the rules that match."""
    sums: dict[str, Decimal] = {}
    for one in drawn:
        if known.trigger in one.triggers and (not one.products or known.order.product_id in one.products):
            for meter, credit in one.grant.items():
                sums[meter] = sums.get(meter, Decimal(0)) + credit
    return sums


@given(orders(), rule_sets())
def test_a_plans_units_are_the_sum_of_the_matching_rules(known: KnownOrder, drawn: list[DrawnRule]) -> None:
    assert units(plan_order(known.order, written(drawn))) == expected_units(known, drawn)


@given(orders(), rule_sets())
def test_a_plan_has_either_grants_or_a_reason(known: KnownOrder, drawn: list[DrawnRule]) -> None:
    plan = plan_order(known.order, written(drawn))
    assert bool(plan.grants) is not bool(plan.skip)
    assert all(grant.units > 0 for grant in plan.grants)


@given(orders(), rule_sets(), st.randoms())
def test_the_order_of_rules_in_the_file_changes_no_amount(
    known: KnownOrder, drawn: list[DrawnRule], shuffler: random.Random
) -> None:
    shuffled = shuffler.sample(drawn, len(drawn))
    first, second = plan_order(known.order, written(drawn)), plan_order(known.order, written(shuffled))
    assert units(first) == units(second)
    assert [grant.key for grant in first.grants] == [grant.key for grant in second.grants]


@given(orders(), rule_sets())
def test_a_plan_is_the_same_each_time(known: KnownOrder, drawn: list[DrawnRule]) -> None:
    assert plan_order(known.order, written(drawn)) == plan_order(known.order, written(drawn))


@given(orders(), rule_sets())
def test_keys_are_the_order_and_the_meter_and_nothing_else(known: KnownOrder, drawn: list[DrawnRule]) -> None:
    plan = plan_order(known.order, written(drawn))
    assert [grant.key for grant in plan.grants] == [
        f"credits:order:{known.order.id}:{meter}" for meter in sorted(expected_units(known, drawn))
    ]


@given(orders(), rule_sets(), st.integers(-2, 2))
def test_credit_from_only_ever_takes_away_what_was_created_before_it(
    known: KnownOrder, drawn: list[DrawnRule], days: int
) -> None:
    lines = [rule(one.name, one.grant, triggers=[str(each) for each in one.triggers]) for one in drawn]
    moment = CREATED + timedelta(days=days)
    cut = plan_order(known.order, rules_of(*lines, credit_from=moment.isoformat()))
    whole = plan_order(known.order, rules_of(*lines))
    assert units(cut) == (units(whole) if days <= 0 else {})
