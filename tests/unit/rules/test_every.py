"""``every``: a rule credits again each month or week, and what such a rule cannot be combined with."""

import pytest

from config.intervals import Every
from tests.support.rule_files import PRODUCT, file_of, one_rule, parse, problems, rule_problem

PAID = "triggers: [subscription_create, subscription_cycle]"
OTHER = "0b1c9f3e-2f66-4b0e-8a7e-5d3c1b2a4f55"


def test_a_rule_credits_once_unless_it_says_every() -> None:
    assert one_rule("{name: a, grant: {m: 1}}").every is None
    assert one_rule(f"{{name: a, {PAID}, every: month, grant: {{m: 1}}}}").every is Every.MONTH
    assert one_rule(f"{{name: a, {PAID}, every: week, grant: {{m: 1}}}}").every is Every.WEEK


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("weeks", "unknown word 'weeks'; did you mean 'week'?"),
        ("monthly", "unknown word 'monthly'; write month"),
        ("day", "unknown word 'day'; it can be month or week"),
        ("12", "unknown word '12'; it can be month or week"),
        ("[month]", "expected month or week, found a list"),
        ("", "expected month or week, found nothing"),
    ],
)
def test_another_word_is_refused(word: str, message: str) -> None:
    assert rule_problem(f"{{name: a, {PAID}, grant: {{m: 1}}, every: {word}}}").endswith(message)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            f"{PAID}, once_per: customer",
            "`every` cannot be combined with `once_per`: that credit is given only once",
        ),
        (
            "triggers: [subscription_create, purchase]",
            "`every` cannot be combined with the trigger purchase: a purchase has no paid period that ends",
        ),
        (
            "from: 2026-11-01T00:00:00Z",
            "`every` cannot be combined with the trigger purchase (by default): "
            "a purchase has no paid period that ends; "
            "write `triggers: [subscription_create, subscription_cycle]`",
        ),
        (
            "triggers: [subscription.cycled]",
            "`every` cannot be combined with the trigger subscription.cycled: "
            "it credits a period whether it is paid or not",
        ),
        (
            "triggers: [subscription.created]",
            "`every` cannot be combined with the trigger subscription.created: "
            "it credits without an order that has paid the period",
        ),
        (
            "triggers: [subscription_meter_cycle]",
            "`every` cannot be combined with the trigger subscription_meter_cycle: "
            "it pays for usage, not for a period",
        ),
        (
            "triggers: [customer.created]",
            "`every` cannot be combined with the trigger customer.created: a new customer has paid no period",
        ),
    ],
)
def test_what_has_no_paid_period_is_refused(keys: str, message: str) -> None:
    text = rule_problem(f"{{name: a, every: month, {keys}, grant: {{m: 1}}}}")
    assert text == f"4:20: rules[0].every: {message}"


def test_all_orders_of_a_period_can_be_credited_in_instalments() -> None:
    triggers = "[subscription_create, subscription_cycle, subscription_update, trial_start]"
    keys = "on_refund: revoke, on_dispute: revoke, every: week"
    assert one_rule(f"{{name: a, triggers: {triggers}, {keys}, grant: {{m: 1}}}}").every is Every.WEEK


def test_a_month_beside_a_week_on_one_meter_of_one_order_is_refused() -> None:
    found = problems(
        file_of(
            f"{{name: monthly, {PAID}, every: month, grant: {{m: 1}}}}",
            f"{{name: weekly, {PAID}, every: week, grant: {{m: 1, n: 1}}}}",
        )
    )
    assert found == [
        "rules.yaml:5:3: rules[1]: rule 'monthly' on line 4 credits every month, this rule every week: both "
        "could credit 'm' from one order; give them the same `every`, or different meters "
        "(rule weekly)"
    ]


@pytest.mark.parametrize(
    "other",
    [
        f"{{name: b, {PAID}, every: week, grant: {{n: 1}}}}",
        f"{{name: b, {PAID}, every: month, grant: {{m: 1}}}}",
        f"{{name: b, {PAID}, grant: {{m: 1}}}}",
        f"{{name: b, products: [{OTHER}], {PAID}, every: week, grant: {{m: 1}}}}",
        "{name: b, triggers: [subscription_update], every: week, grant: {m: 1}}",
        f"{{name: b, {PAID}, until: 2026-11-01T00:00:00Z, every: week, grant: {{m: 1}}}}",
    ],
)
def test_rules_that_never_meet_on_a_meter_can_differ(other: str) -> None:
    mine = f"products: [{PRODUCT}], {PAID}, from: 2026-11-01T00:00:00Z, every: month"
    rules = parse(file_of(f"{{name: a, {mine}, grant: {{m: 1}}}}", other)).rules
    assert len(rules) == 2
