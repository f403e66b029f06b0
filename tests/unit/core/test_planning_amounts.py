"""Amounts given by expressions: their values, zeros that are skipped, and errors that fail a delivery."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.builders import fact_like, rule, rules_of
from workers.core.planning import plan_for
from workers.core.plans import Plan

SEATS_5 = "order_paid_seats_5"
RENEWAL_OF_5 = "order_paid_subscription_cycle_seats_order_seats_null"


def plan(expression: str, like: str = "order_paid_purchase", **data: Any) -> Plan:
    triggers = (
        ["subscription.cycled"] if like.startswith("subscription") else ["purchase", "subscription_cycle"]
    )
    line = rule("worked-out", {"api_usage": expression}, triggers=triggers)
    return plan_for(fact_like(like, **data), rules_of(line))


@pytest.mark.parametrize(
    ("expression", "like", "units"),
    [
        ("1000 * seats", "order_paid_purchase", "1000"),
        ("1000 * seats", SEATS_5, "5000"),
        ("1000 * seats", RENEWAL_OF_5, "5000"),  # the order's own are null there
        ("1000 * seats", "subscription_cycled", "1000"),
        ("order.net_amount * 12 / 100", "order_paid_discount_25pct", "90"),
        ("order.net_amount / 7", "order_paid_purchase", "142"),  # whole numbers, cut
        ("double(order.net_amount) / 8.0", "order_paid_discount_25pct", "93.75"),
        ("double(order.net_amount) * 0.1", "order_paid_purchase", "100"),
        ("order.currency == 'usd' ? 7 : 8", "order_paid_purchase", "7"),
        ("subscription.amount / 100", "subscription_cycled", "20"),
    ],
)
def test_an_expression_sees_the_webhooks_own_objects(expression: str, like: str, units: str) -> None:
    (grant,) = plan(expression, like).grants
    assert grant.units == Decimal(units)


def test_credits_may_be_set_at_the_product() -> None:
    product = {"id": "any", "metadata": {"credits": "250"}}
    (grant,) = plan("int(product.metadata.credits)", product=product).grants
    assert grant.units == 250


def test_an_amount_of_0_is_a_skip_that_says_so() -> None:
    skipped = plan("order.net_amount / 2", "order_paid_free")
    assert (skipped.grants, skipped.failure) == ((), "")
    assert skipped.skip == "rule worked-out: gives 0 api_usage"


def test_a_rule_that_gives_0_on_every_meter_names_them_all() -> None:
    line = rule("both", {"api_usage": "order.net_amount", "images": "order.net_amount * 2"})
    assert plan_for(fact_like(net_amount=0), rules_of(line)).skip == "rule both: gives 0 api_usage and images"


def test_a_0_beside_another_amount_is_left_out() -> None:
    """Whether the other amount is another rule's, or on another meter."""
    rules = rules_of(
        rule("pack", {"api_usage": 10}),
        rule("by-money", {"api_usage": "order.net_amount / 100", "images": "order.net_amount + 3"}),
    )
    grants = plan_for(fact_like(net_amount=0), rules).grants
    assert [(grant.meter, grant.units, grant.rules) for grant in grants] == [
        ("api_usage", Decimal(10), ("pack",)),
        ("images", Decimal(3), ("by-money",)),
    ]


FAULTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "negative": ("order.net_amount - 5000", {}, ["-4000", "order.net_amount is 1000"]),
    "text": ("order.metadata.credits", {"metadata": {"credits": "ten"}}, ["'ten'"]),
    "boolean": ("order.metadata.credits", {"metadata": {"credits": True}}, ["true"]),
    "list": ("order.metadata.credits", {"metadata": {"credits": [1]}}, ["a list"]),
    "null": ("order.metadata.credits", {"metadata": {"credits": None}}, ["null"]),
    "missing": ("order.metadata.credits", {"metadata": {}}, ["order.metadata.credits is missing"]),
    "no number": ("int(order.metadata.n)", {"metadata": {"n": "ten"}}, ["'ten'"]),
    "not finite": ("1.0 / double(order.net_amount)", {"net_amount": 0}, ["inf"]),
    "division by 0": ("100 / order.net_amount", {"net_amount": 0}, ["order.net_amount is 0"]),
    "a trillion": ("order.net_amount * 1000", {"net_amount": 10**9}, ["1,000,000,000,000"]),
}
"""Errors on a real order: the amount, the order's data, and what the reason must mention."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_expression_is_reported_with_rule_expression_and_value(fault: str) -> None:
    expression, data, named = FAULTS[fault]
    failed = plan(expression, **data)
    assert (failed.grants, failed.skip) == ((), "")
    assert failed.failure.startswith(f"rule worked-out, api_usage: {expression}")
    for words in named:
        assert words in failed.failure


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failed_amount_stops_all_others(fault: str) -> None:
    """After a partial credit, somebody would have to guess which part is missing."""
    expression, data, _ = FAULTS[fault]
    rules = rules_of(
        rule("fine", {"api_usage": 10}),
        rule("bonus", {"images": 5}, once_per="customer"),
        rule("worked-out", {"api_usage": expression, "images": 1}),
    )
    failed = plan_for(fact_like(**data), rules)
    assert (failed.grants, failed.skip) == ((), "")
    assert "rule worked-out, api_usage: " in failed.failure


def test_each_failed_rule_is_named() -> None:
    rules = rules_of(
        rule("one", {"api_usage": "order.net_amount - 5000"}),
        rule("two", {"images": "int(order.metadata.n)"}, once_per="customer"),
    )
    first, second = plan_for(fact_like(), rules).failure.split("; ")
    assert first.startswith("rule one, api_usage: ")
    assert second.startswith("rule two, images: ")


@pytest.mark.parametrize(
    "others",
    [
        {"triggers": ["subscription_cycle"]},
        {"products": ["00000000-0001-4000-8000-000000000000"]},
        {"from": "2999-01-01T00:00:00Z"},
        {"until": "2000-01-01T00:00:00Z"},
        {"when": "order.net_amount >= 5000"},
    ],
    ids=lambda others: next(iter(others)),
)
def test_a_rule_that_does_not_apply_is_not_evaluated(others: dict[str, Any]) -> None:
    rules = rules_of(
        rule("fine", {"api_usage": 10}),
        rule("worked-out", {"api_usage": "order.net_amount - 5000"}, **others),
    )
    worked_out = plan_for(fact_like(), rules)
    assert worked_out.failure == ""
    assert [grant.units for grant in worked_out.grants] == [10]
