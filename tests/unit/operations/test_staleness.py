"""What of an order's credit cannot be told afterwards, because Polar shows its subscription of today."""

from typing import Any

import pytest

from tests.support.builders import fact_like, rule, rules_of
from workers.operations.backfill.staleness import stale_fields

RENEWAL = "order_paid_subscription_cycle_seats_order_seats_null"
SEATS = "order_paid_seats_5"  # a checkout's: the order has its own number
CYCLE = ["subscription_cycle"]


def resting(*lines: str, like: str = RENEWAL, **data: Any) -> tuple[str, ...]:
    return stale_fields(fact_like(like, **data), rules_of(*lines))


@pytest.mark.parametrize(
    "amount",
    [
        "100",
        "order.net_amount * 2",
        "int(product.metadata.credits)",
        "size(customer.metadata)",
        'subscription.created_at < "2026-12-01" ? 1 : 2',
        '"subscription.seats" == "seats" ? 1 : 2',
    ],
)
def test_what_does_not_change_can_be_told_afterwards(amount: str) -> None:
    assert resting(rule("plan", {"api_usage": amount})) == ()


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        ("1000 * seats", "seats"),
        ("1000 * units", "units"),
        ("1000.0 * period_left", "period_left"),
        ("1000 * subscription.seats", "subscription.seats"),
        ('1000 * subscription["seats"]', 'subscription["seats"]'),
        ("1000 * order.subscription.seats", "order.subscription.seats"),
        ("subscription.trial_end == null ? 1 : 2", "subscription.trial_end"),
        ("has(subscription.metadata.tier) ? 1 : 2", "subscription.metadata.tier"),
        ("[subscription].map(one, one.seats)[0]", "subscription"),
        ('subscription.id == "" ? 1 : order["subscr" + "iption"].seats', "order"),
    ],
)
def test_what_the_subscription_has_today_cannot_be_told_for_then(amount: str, field: str) -> None:
    assert resting(rule("plan", {"api_usage": amount})) == (field,)


def test_a_checkouts_own_seats_are_as_they_were_whatever_the_subscription_has_now() -> None:
    assert resting(rule("plan", {"api_usage": "1000 * seats"}), like=SEATS) == ()


def test_a_purchase_has_no_subscription_to_change() -> None:
    lines = [
        rule("pack", {"api_usage": "10 * seats"}),
        rule("more", {"images": "size(order)", "seconds": "9.0 * period_left"}),
    ]
    assert resting(*lines, like="order_paid_purchase") == ()


def test_a_condition_on_todays_subscription_leaves_it_open_even_where_it_is_false_now() -> None:
    monthly = rule("monthly", {"api_usage": 10}, when='subscription.recurring_interval == "month"')
    yearly = rule("yearly", {"api_usage": 99}, when='subscription.recurring_interval == "year"')
    assert resting(monthly) == resting(yearly) == ("subscription.recurring_interval",)


def test_a_condition_that_was_false_in_any_case_leaves_nothing_open() -> None:
    line = rule("plan", {"api_usage": "10 * seats"}, when="order.net_amount < 0 && subscription.seats > 1")
    assert resting(line) == ()


@pytest.mark.parametrize(
    "others",
    [
        {"products": ["5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11"]},
        {"triggers": ["purchase"]},
        {"until": "2020-01-01T00:00:00Z"},
    ],
)
def test_a_rule_that_was_never_for_this_order_leaves_nothing_open(others: dict[str, Any]) -> None:
    assert resting(rule("plan", {"api_usage": "10 * seats"}, **others)) == ()


def test_an_order_that_no_rule_could_credit_leaves_nothing_open() -> None:
    seats = rule("plan", {"api_usage": "10 * seats"})
    final = fact_like("order_paid_subscription_cancel_final_invoice")
    assert stale_fields(final, rules_of(seats)) == ()
    old = fact_like(RENEWAL)
    assert stale_fields(old, rules_of(seats, credit_from="2030-01-01T00:00:00Z")) == ()


def test_every_field_is_named_once_over_all_rules() -> None:
    lines = [
        rule("one", {"api_usage": "10 * seats", "images": "seats + subscription.amount"}),
        rule("two", {"api_usage": "5 * seats"}),
    ]
    assert resting(*lines) == ("seats", "subscription.amount")


def test_what_a_refund_has_changed_cannot_be_told_for_then() -> None:
    line = rule("pack", {"api_usage": "order.net_amount - order.refunded_amount"})
    assert resting(line, like="order_paid_purchase") == ()
    refunded = {"refunded_amount": 300, "status": "partially_refunded"}
    assert resting(line, like="order_paid_purchase", **refunded) == ("order.refunded_amount",)
