"""Orders with instalments are not adjusted, and an adjustment begins none."""

import pytest

from config.rules import Rules
from tests.support.builders import fact_like, rule, rules_of
from tests.support.instalments import part, settled, yearly
from workers.core.adjust_plans import AdjustPlan, plan_adjustment
from workers.core.adjustments import HAS_INSTALMENTS, NEW_INSTALMENTS, why_left_alone
from workers.core.claims import Standing
from workers.core.facts import Fact
from workers.core.grants import Grant

YEARLY = "order_paid_subscription_create_yearly"


def pro(**keys: str) -> Rules:
    return rules_of(rule("pro", {"api_usage": 1000}, triggers=["subscription_create"], **keys))


def credited(fact: Fact, units: int, rule_name: str = "pro") -> Standing:
    """Return an order that was credited once, before its rule gave instalments."""
    grant = Grant(
        subject=fact.subject,
        customer_id=fact.customer_id,
        meter="api_usage",
        property_name="units",
        parts=(part(rule_name, units, every=None),),
        order_id=fact.order_id,
    )
    return Standing(subject=fact.subject, claims=(settled([grant], delivery="msg-1"),))


def planned(rules: Rules, standing_units: int) -> AdjustPlan:
    fact = fact_like(YEARLY)
    return plan_adjustment(fact, rules.rules[0], rules, credited(fact, standing_units))


def test_an_order_with_instalments_is_left_alone() -> None:
    assert why_left_alone(yearly(part("pro", 10)), "pro") == HAS_INSTALMENTS


def test_a_rule_that_gives_instalments_now_leaves_older_orders_alone() -> None:
    assert planned(pro(every="month"), 400).left_alone == NEW_INSTALMENTS
    assert [grant.units for grant in planned(pro(), 400).grants] == [600]


@pytest.mark.parametrize("units", [0, 400])
def test_a_rule_that_gives_the_order_nothing_now_takes_what_it_gave(units: int) -> None:
    rules = pro(every="month", when="order.net_amount < 0")
    fact = fact_like(YEARLY)
    standing = credited(fact, units or 7, "pro" if units else "other")
    plan = plan_adjustment(fact, rules.rules[0], rules, standing)
    assert plan.left_alone == ""
    assert [grant.units for grant in plan.grants] == ([-units] if units else [])
