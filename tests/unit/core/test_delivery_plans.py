"""The plan of an order that an earlier webhook showed to be something else."""

import pytest

from tests.support.builders import rule, rules_of
from tests.support.recordings import payload
from workers.core.claims import Shown, Standing
from workers.core.delivery_plans import plan_as_shown, plan_delivery
from workers.core.envelope import ORDER_PAID, ORDER_REFUNDED

RULES = rules_of(
    rule("cycle", {"api_usage": 100}, triggers=["subscription_cycle"]),
    rule("trial", {"api_usage": 5}, triggers=["trial_start"]),
)
RENEWAL = payload("order_paid_subscription_cycle")


@pytest.mark.parametrize(("shown", "units"), [(Shown.FINAL_INVOICE, []), (Shown.TRIAL_START, [5])])
def test_its_webhook_is_read_again_where_the_fact_was_not_kept(shown: Shown, units: list[int]) -> None:
    standing = Standing(subject="credits:order:1", shown=shown)
    kept = plan_delivery(ORDER_PAID, RENEWAL, RULES)
    dropped = plan_delivery(ORDER_PAID, RENEWAL, RULES, keeps_fact=False)
    assert dropped.fact is None
    assert dropped.plan == kept.plan
    found = plan_as_shown(dropped, standing, RULES, RENEWAL)
    assert found.plan == plan_as_shown(kept, standing, RULES).plan
    assert found.plan is not None
    assert [grant.units for grant in found.plan.grants] == units


def test_it_fails_where_only_what_it_was_shown_to_be_needs_a_value_that_cannot_be_read() -> None:
    """The rules for renewals ask nothing of the body. Those for trials do, and parse it."""
    rules = rules_of(
        rule("cycle", {"api_usage": 100}, triggers=["subscription_cycle"]),
        rule("trial", {"api_usage": "order.net_amount + 5"}, triggers=["trial_start"]),
    )
    body = RENEWAL.rstrip()[:-2] + b',"new":' + b"[" * 300 + b"]" * 300 + b"}}"
    planned = plan_delivery(ORDER_PAID, body, rules, keeps_fact=False)
    assert planned.plan is not None
    found = plan_as_shown(planned, Standing(subject="s", shown=Shown.TRIAL_START), rules, body)
    assert found.plan is None
    assert found.failure.startswith("the body cannot be read: ")


def test_the_plan_of_a_refund_stays_as_it_is() -> None:
    body = payload("order_refunded_full")
    planned = plan_delivery(ORDER_REFUNDED, body, RULES, keeps_fact=False)
    standing = Standing(subject="credits:order:1", shown=Shown.FINAL_INVOICE)
    assert plan_as_shown(planned, standing, RULES, body) is planned
