"""A rule applies from ``from`` until just before ``until``, by the time at which the fact happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.rules import Trigger
from tests.support.builders import fact_like, rule, rules_of
from workers.core.facts import Fact
from workers.core.planning import plan_for
from workers.core.plans import Plan

MOMENT = datetime(2026, 12, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)

KINDS = {
    "order_paid_purchase": ("created_at", "created", [Trigger.PURCHASE]),
    "order_paid_subscription_cycle": ("created_at", "created", [Trigger.SUBSCRIPTION_CYCLE]),
    "subscription_cycled": ("current_period_start", "started", [Trigger.PERIOD]),
    "customer_created": ("created_at", "created", [Trigger.CUSTOMER]),
}
"""For each kind of fact: the field with its time, the verb in reasons, and its triggers."""

each_kind = pytest.mark.parametrize("like", KINDS)


def happened(like: str, moment: datetime) -> Fact:
    return fact_like(like, **{KINDS[like][0]: moment.isoformat()})


def plan(like: str, moment: datetime, **bounds: Any) -> Plan:
    """Return the plan of a rule with these bounds for a fact that happened at ``moment``."""
    written = {name.rstrip("_"): value.isoformat() for name, value in bounds.items()}
    line = rule("bounded", {"api_usage": 1}, triggers=[str(one) for one in KINDS[like][2]], **written)
    return plan_for(happened(like, moment), rules_of(line))


@each_kind
def test_from_is_the_first_moment_that_counts(like: str) -> None:
    assert plan(like, MOMENT, from_=MOMENT).grants
    assert plan(like, MOMENT + TICK, from_=MOMENT).grants
    assert not plan(like, MOMENT - TICK, from_=MOMENT).grants


@each_kind
def test_until_is_the_first_moment_that_does_not_count(like: str) -> None:
    assert plan(like, MOMENT - TICK, until=MOMENT).grants
    assert not plan(like, MOMENT, until=MOMENT).grants
    assert not plan(like, MOMENT + TICK, until=MOMENT).grants


@each_kind
def test_between_from_and_until_each_moment_counts(like: str) -> None:
    later = MOMENT + timedelta(days=1)
    inside = [MOMENT, MOMENT + timedelta(hours=5), later - TICK]
    outside = [MOMENT - TICK, later]
    assert all(plan(like, moment, from_=MOMENT, until=later).grants for moment in inside)
    assert not any(plan(like, moment, from_=MOMENT, until=later).grants for moment in outside)


@each_kind
def test_a_reason_gives_the_time_of_the_fact_and_the_bound(like: str) -> None:
    word = KINDS[like][1]
    assert plan(like, MOMENT - TICK, from_=MOMENT).skip == (
        f"rule bounded: {word} 2026-11-30T23:59:59Z, before the rule starts at 2026-12-01T00:00:00Z"
    )
    assert plan(like, MOMENT, until=MOMENT).skip == (
        f"rule bounded: {word} 2026-12-01T00:00:00Z, but the rule ended at 2026-12-01T00:00:00Z"
    )


@each_kind
def test_a_rule_that_ends_where_another_begins_leaves_neither_gap_nor_overlap(like: str) -> None:
    triggers = [str(one) for one in KINDS[like][2]]
    rules = rules_of(
        rule("old", {"api_usage": 1}, triggers=triggers, until=MOMENT.isoformat()),
        rule("new", {"api_usage": 2}, triggers=triggers, **{"from": MOMENT.isoformat()}),
    )
    for moment, name in ((MOMENT - TICK, "old"), (MOMENT, "new")):
        (grant,) = plan_for(happened(like, moment), rules).grants
        assert grant.rules == (name,)


@each_kind
def test_nothing_before_credit_from_is_credited(like: str) -> None:
    _, word, triggers = KINDS[like]
    line = rule("any", {"api_usage": 1}, triggers=[str(one) for one in triggers])
    rules = rules_of(line, credit_from=MOMENT.isoformat())
    early = plan_for(happened(like, MOMENT - TICK), rules)
    assert (early.grants, early.skip) == ((), f"{word} 2026-11-30T23:59:59Z, before credit_from")
    assert plan_for(happened(like, MOMENT), rules).grants


def test_no_rule_is_evaluated_before_credit_from() -> None:
    broken = rule("broken", {"api_usage": "order.net_amount - 5000"})
    rules = rules_of(broken, credit_from=MOMENT.isoformat())
    assert plan_for(happened("order_paid_purchase", MOMENT - TICK), rules).failure == ""
    assert plan_for(happened("order_paid_purchase", MOMENT), rules).failure


def test_times_are_compared_and_shown_in_utc() -> None:
    rules = rules_of(rule("any", {"api_usage": 1}), credit_from="2026-12-01T00:00:00Z")
    assert plan_for(fact_like(created_at="2026-12-01T01:00:00+01:00"), rules).grants
    early = plan_for(fact_like(created_at="2026-12-01T00:30:00+01:00"), rules)
    assert early.skip == "created 2026-11-30T23:30:00Z, before credit_from"


def test_a_renewal_counts_by_its_order_and_a_period_by_its_start() -> None:
    """An order in December may pay for a period that started in November."""
    order = fact_like("order_paid_subscription_cycle", created_at=MOMENT.isoformat())
    start = order.variables.values["subscription"]["current_period_start"]
    assert datetime.fromisoformat(start) < MOMENT
    line = rule("december", {"api_usage": 1}, **{"from": MOMENT.isoformat()})
    assert plan_for(order, rules_of(line)).grants
    assert not plan("subscription_cycled", datetime.fromisoformat(start), from_=MOMENT).grants
