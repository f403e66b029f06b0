"""A plan with instalments has the paid period; without one, it fails before anything is granted."""

import json
from typing import Any

import pytest

from config.intervals import Every
from config.rules import Rules
from tests.support.builders import fact_like, rule, rules_of
from tests.support.recordings import payload
from workers.core.claims import Shown
from workers.core.facts import as_shown
from workers.core.planning import plan_for
from workers.core.plans import Plan

YEARLY = "order_paid_subscription_create_yearly"
TRIAL = "order_paid_trial_start_zero"
PAID = ["subscription_create", "subscription_cycle", "subscription_update", "trial_start"]


def monthly(units: str | int = 1000, **others: Any) -> str:
    return rule("yearly", {"api_usage": units}, triggers=PAID, every="month", **others)


def plan(rules: Rules, like: str = YEARLY, **subscription: Any) -> Plan:
    shown = json.loads(payload(like))["data"]["subscription"] | subscription
    return plan_for(fact_like(like, subscription=shown), rules)


def test_a_plan_with_instalments_has_their_period() -> None:
    found = plan(rules_of(monthly(), rule("bonus", {"api_usage": 5}, triggers=PAID)))
    assert found.period is not None
    assert found.period.start.isoformat() == "2026-11-28T20:39:49.131000+00:00"
    (grant,) = found.grants
    assert [(part.rule, part.every) for part in grant.parts] == [("yearly", Every.MONTH), ("bonus", None)]


def test_a_plan_without_instalments_has_none() -> None:
    assert plan(rules_of(rule("bonus", {"api_usage": 5}, triggers=PAID))).period is None
    assert plan(rules_of(monthly("order.net_amount * 0"))).period is None


def test_a_trial_is_credited_until_it_ends() -> None:
    found = plan(rules_of(monthly()), TRIAL, current_period_end="2027-11-21T02:13:26Z")
    assert found.period is not None
    assert str(found.period.end.date()) == "2026-12-05"


def test_what_was_shown_to_be_a_trial_is_credited_until_the_trial_ends() -> None:
    fact = fact_like(TRIAL, created_at="2026-12-06T00:00:00Z")
    found = plan_for(as_shown(fact, Shown.TRIAL_START), rules_of(monthly())).period
    assert found is not None
    assert str(found.end.date()) == "2026-12-05"


@pytest.mark.parametrize(
    ("units", "subscription", "failure"),
    [
        (
            1000,
            {"current_period_end": None},
            "rule yearly, every: the webhook does not show which period of a subscription was paid",
        ),
        (
            1000,
            {"current_period_end": "2099-11-28T20:39:49Z"},
            "rule yearly, every: the paid period has more than 600 instalments",
        ),
        (
            "99999999.5",
            {},
            "rule yearly, every: 12 instalments add up to a number of api_usage with too many digits; give "
            "whole credits",
        ),
    ],
)
def test_what_cannot_be_dated_counted_or_added_up_fails(
    units: str | int, subscription: dict[str, Any], failure: str
) -> None:
    found = plan(rules_of(monthly(units), rule("seconds", {"seconds": 5}, triggers=PAID)), **subscription)
    assert (found.failure, found.grants, found.period) == (failure, (), None)


@pytest.mark.parametrize("units", ["0.1", "83333332.5", "999999999999", "0.123456789"])
def test_other_amounts_can_be_given_in_instalments(units: str) -> None:
    assert not plan(rules_of(monthly(units))).failure


def test_a_period_that_no_rule_needs_may_be_unknown() -> None:
    found = plan(rules_of(rule("bonus", {"api_usage": 5}, triggers=PAID)), current_period_end="never")
    assert (found.failure, len(found.grants)) == ("", 1)
