"""What is told of a webhook and the rules is what the rules make of it."""

import pytest

from config.rules import Rules
from tests.support.builders import PRODUCT, fact_like, order_like, order_webhook, rule, rules_of, some_id
from tests.support.cookbook import RECIPES, Recipe
from tests.support.recorded_triggers import (
    CREATED,
    CYCLED,
    FINAL,
    NEW_CUSTOMERS,
    PAID,
    REAL,
    REFUNDED,
)
from tests.support.recordings import payload
from workers.core.claims import Standing
from workers.core.delivery_plans import plan_delivery
from workers.core.envelope import peek_type
from workers.core.planning import plan_for
from workers.operations.explain.explanation import Explanation, RuleView, explain, rule_views

CREDITABLE = [*PAID, *CYCLED, *CREATED, *NEW_CUSTOMERS]
ERASING = "customer_deleted"

PICKY = rules_of(
    rule("other-product", {"api_usage": 1}, products=[some_id(1)]),
    rule("other-trigger", {"api_usage": 1}, triggers=["subscription_create"]),
    rule("later", {"api_usage": 1}, **{"from": "2026-12-01T00:00:00Z"}),
    rule("earlier", {"api_usage": 1}, until="2026-11-01T00:00:00Z"),
    rule("bigger", {"api_usage": 1}, when="order.net_amount > 500 && order.net_amount > 5000"),
    rule("nothing", {"api_usage": "order.refunded_amount", "images": "order.tax_amount"}),
    rule("pack", {"api_usage": 10, "images": "0.5"}, products=[PRODUCT]),
)
BROKEN = rules_of(rule("pack", {"api_usage": 10}), rule("seats", {"api_usage": "int(order.metadata.seats)"}))


def explained(body: bytes, rules: Rules, standing: Standing | None = None) -> Explanation:
    """Return what is told of a delivery with this body."""
    planned = plan_delivery(peek_type(body) or "", body, rules)
    return explain(planned, rules, standing or Standing(subject=planned.plan.subject if planned.plan else ""))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_the_rules_that_match_are_those_that_grant(recipe: Recipe) -> None:
    """Every rule of the cookbook before every real webhook that rules can credit."""
    for name in CREDITABLE:
        fact = fact_like(name)
        plan, views = plan_for(fact, recipe.rules), rule_views(fact, recipe.rules)
        assert [view.rule for view in views] == [one.name for one in recipe.rules.rules]
        assert all(view.because for view in views), name
        failing = [view for view in views if view.fails]
        assert bool(failing) is bool(plan.failure), name
        if not plan.failure:
            granting = {rule_name for grant in plan.grants for rule_name in grant.rules}
            assert {view.rule for view in views if view.matches} == granting, name


YEARLY = "order_paid_subscription_create_yearly"
PAID_BY = ["subscription_create"]
MONTHLY = rules_of(
    rule("yearly", {"api_usage": 1000}, triggers=PAID_BY, every="month"),
    rule("start", {"api_usage": 50, "images": 5}, triggers=PAID_BY),
)


def test_instalments_are_previewed_with_their_number_dates_and_amounts() -> None:
    one = explained(order_webhook(YEARLY), MONTHLY)
    assert [(view.rule, view.because) for view in one.rules] == [
        ("yearly", "grants 1000 api_usage, every month"),
        ("start", "grants 50 api_usage, 5 images"),
    ]
    assert [series.text for series in one.series] == [
        "1000 api_usage each month, 11 times from 2026-12-28 to 2027-10-28"
    ]
    assert one.outlook == (
        "grant 1050 api_usage, 5 images; "
        "then 1000 api_usage each month, 11 times from 2026-12-28 to 2027-10-28"
    )


def test_a_period_of_one_instalment_has_no_later_ones() -> None:
    one = explained(order_webhook("order_paid_subscription_create"), MONTHLY)
    assert (one.series, one.outlook) == ([], "grant 1050 api_usage, 5 images")


def test_each_rule_says_what_it_gives_or_what_kept_it_and_what_it_saw() -> None:
    created = f"{order_like().created_at:%Y-%m-%dT%H:%M:%SZ}"
    assert {view.rule: (view.matches, view.because) for view in rule_views(fact_like(), PICKY)} == {
        "other-product": (False, f"not for product {PRODUCT}"),
        "other-trigger": (False, "not triggered by purchase"),
        "later": (False, f"created {created}, before the rule starts at 2026-12-01T00:00:00Z"),
        "earlier": (False, f"created {created}, but the rule ended at 2026-11-01T00:00:00Z"),
        "bigger": (False, "order.net_amount > 5000 is false (order.net_amount is 1000)"),
        "nothing": (False, "gives 0 api_usage and images"),
        "pack": (True, "grants 10 api_usage, 0.5 images"),
    }


@pytest.mark.parametrize(
    ("rules", "name", "reason"),
    [
        (rules_of(rule("pack", {"api_usage": 1})), FINAL, "final invoice of an ended subscription"),
        (
            rules_of(rule("pack", {"api_usage": 1}), credit_from="2027-01-01T00:00:00Z"),
            "order_paid_purchase",
            "before credit_from",
        ),
    ],
    ids=["final invoice", "credit_from"],
)
def test_what_no_rule_can_credit_is_said_of_each_rule(rules: Rules, name: str, reason: str) -> None:
    (view,) = rule_views(fact_like(name), rules)
    assert not view.matches
    assert reason in view.because


def test_one_rule_that_fails_fails_the_whole_and_the_others_still_say_what_they_would_give() -> None:
    told = explained(payload("order_paid_purchase"), BROKEN)
    failure = (
        "rule seats, api_usage: int(order.metadata.seats): 'seats' is missing "
        "(order.metadata.seats is missing)"
    )
    assert told.rules == (
        RuleView(rule="pack", matches=True, because="grants 10 api_usage"),
        RuleView(rule="seats", matches=False, because=failure.removeprefix("rule seats, "), fails=True),
    )
    assert (told.plan.failure if told.plan else "", told.outlook) == (failure, f"fail: {failure}")


@pytest.mark.parametrize("name", CREDITABLE)
def test_what_rules_can_credit_is_told_as_they_see_it(name: str) -> None:
    told, fact = explained(payload(name), PICKY), fact_like(name)
    assert told.fact is not None
    assert (told.fact.subject, told.fact.trigger, told.fact.moment) == (
        fact.subject,
        fact.trigger,
        fact.moment,
    )
    assert len(told.rules) == len(PICKY.rules)
    assert told.plan == plan_for(fact, PICKY)


@pytest.mark.parametrize("name", REFUNDED)
def test_of_a_refund_no_rule_is_asked(name: str) -> None:
    told = explained(payload(name), PICKY)
    assert (told.fact, told.rules) == (None, ())
    assert told.plan is not None
    assert told.plan.refund is not None
    assert (
        told.outlook
        == "nothing: this order has not been credited yet: the refund counts when the order is credited"
    )


def test_an_order_that_was_refunded_before_it_is_credited_is_told_both() -> None:
    rules = rules_of(rule("pack", {"api_usage": 10}, on_refund="revoke"))
    body = order_webhook(status="partially_refunded", refunded_amount=300)
    assert explained(body, rules).outlook == "grant 10 api_usage; took back 3 api_usage"


@pytest.mark.parametrize("name", [name for name in REAL if name not in {*CREDITABLE, *REFUNDED, ERASING}])
def test_what_leads_to_no_credit_ever_is_said_to_be_ignored(name: str) -> None:
    told = explained(payload(name), PICKY)
    assert (told.fact, told.rules, told.plan) == (None, (), None)
    assert told.outlook == f"skip: {told.type} is ignored: no rule can credit it"


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"type": "order.paid", "data": {"id": 1}}'])
def test_a_body_that_cannot_be_read_is_told_as_what_it_would_come_to(body: bytes) -> None:
    told = explained(body, PICKY)
    assert (told.fact, told.rules, told.plan) == (None, (), None)
    assert told.outlook.startswith("fail: the body cannot be read: ")


def test_of_a_deleted_customer_it_is_said_when_that_erases_something() -> None:
    told = explained(payload(ERASING), PICKY)
    assert (told.fact, told.rules, told.plan) == (None, (), None)
    assert "with CREDITS_FORGET_DELETED=1 it erases the stored bodies" in told.outlook
