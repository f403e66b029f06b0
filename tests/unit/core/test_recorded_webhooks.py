"""A table of every recorded webhook, with the triggers that credit it and the key of the credit."""

import pytest

from config.rules import Trigger
from tests.support.builders import rule, rules_of
from tests.support.recorded_triggers import FLOWS, KINDS, PAID, REAL
from tests.support.recordings import payload
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.envelope import ORDER_REFUNDED, STORED_TYPES, peek_type

WITH_TRIAL = (Trigger.SUBSCRIPTION, Trigger.TRIAL_START)

# The triggers that a rule must name to credit what has no order, and the beginning of the key.
CREDITED = {
    "customer_created": ((Trigger.CUSTOMER,), "credits:customer:"),
    "customer_created_no_external_id": ((Trigger.CUSTOMER,), "credits:customer:"),
    "subscription_created_active": ((Trigger.SUBSCRIPTION,), "credits:subscription:"),
    "subscription_created_by_api_free_no_order": ((Trigger.SUBSCRIPTION,), "credits:subscription:"),
    "subscription_created_trialing": (WITH_TRIAL, "credits:subscription:"),
    "subscription_cycled": ((Trigger.PERIOD,), "credits:cycle:"),
    "subscription_cycled_2": ((Trigger.PERIOD,), "credits:cycle:"),
    "subscription_cycled_trial_conversion": ((Trigger.PERIOD,), "credits:cycle:"),
    "subscription_cycled_trial_ended_by_product_change": ((Trigger.PERIOD,), "credits:cycle:"),
    "subscription_cycled_unpaid": ((Trigger.PERIOD,), "credits:cycle:"),
    "subscription_resumed": ((Trigger.PERIOD,), "credits:cycle:"),
    "flows/flow.pastdue.subscription_cycle_task.01.subscription.cycled": (
        (Trigger.PERIOD,),
        "credits:cycle:",
    ),
}

REFUNDS = {
    "order_refunded_full",
    "order_refunded_partial",
    "order_refunded_second_partial",
    "order_refunded_subscription_full",
}
"""They credit nothing, whatever the rules say, and may take something back."""

IGNORED = {
    "customer_deleted",
    "customer_state_changed",
    "customer_state_changed_with_meter_balance",
    "customer_updated",
    "flows/flow.checkout_one_time.01.customer.state_changed",
    "flows/flow.checkout_one_time.02.customer.state_changed",
    "flows/flow.checkout_one_time.03.customer.state_changed",
    "flows/flow.checkout_one_time.04.customer.state_changed",
    "flows/flow.checkout_one_time.05.customer.state_changed",
    "flows/flow.checkout_one_time.06.customer.state_changed",
    "flows/flow.checkout_one_time_free.01.order.created",
    "flows/flow.checkout_one_time_free.02.order.updated",
    "flows/flow.checkout_one_time_seats.01.order.created",
    "flows/flow.checkout_one_time_seats.02.order.updated",
    "flows/flow.checkout_sub.create_order.01.order.created",
    "flows/flow.checkout_sub.create_order.02.order.updated",
    "flows/flow.customer.webhook task (updated).02.customer.state_changed",
    "flows/flow.final.create_subscription_order_task.01.order.created",
    "flows/flow.final.payment_succeeded.01.order.updated",
    "flows/flow.final.subscription_cycle_task(cancel_at_period_end).01.subscription.updated",
    "flows/flow.pastdue.create_subscription_order_no_payment_method.02.subscription.updated",
    "flows/flow.pastdue.create_subscription_order_no_payment_method.04.order.updated",
    "flows/flow.pastdue.late_payment_succeeded.01.subscription.updated",
    "flows/flow.pastdue.late_payment_succeeded.02.subscription.active",
    "flows/flow.pastdue.late_payment_succeeded.03.order.updated",
    "flows/flow.pastdue.subscription_cycle_task.02.subscription.updated",
    "flows/flow.renewal1.payment_succeeded.01.order.updated",
    "flows/flow.renewal1.subscription_cycle_task.02.subscription.updated",
    "flows/flow.renewal2.create_subscription_order_task.01.order.created",
    "flows/flow.renewal2.payment_succeeded.01.order.updated",
    "flows/flow.renewal2.subscription_cycle_task.02.subscription.updated",
    "flows/flow.trial_checkout.create_subscription.03.subscription.updated",
    "flows/flow.trial_checkout.create_trial_order.01.order.created",
    "flows/flow.trial_checkout.create_trial_order.02.order.updated",
    "flows/flow.trial_conversion.create_subscription_order_task.01.order.created",
    "flows/flow.trial_conversion.payment_succeeded.01.order.updated",
    "flows/flow.trial_conversion.subscription_cycle_task.02.subscription.updated",
    "order_created_draft_off_session",
    "order_created_paid_purchase",
    "order_created_pending_cycle",
    "order_created_pending_unpaid",
    "order_updated_purchase",
    "order_updated_refund_full",
    "order_updated_refund_partial",
    "order_updated_refund_second_partial",
    "other_benefit_created",
    "other_benefit_grant_created",
    "other_checkout_created",
    "other_checkout_updated",
    "other_customer_seat_claimed",
    "other_discount_created",
    "other_member_created",
    "other_organization_updated",
    "other_product_updated",
    "refund_created_full",
    "refund_created_partial",
    "refund_created_second_partial",
    "subscription_active",
    "subscription_active_by_api_free_no_order",
    "subscription_active_trialing",
    "subscription_canceled_at_end",
    "subscription_canceled_immediately",
    "subscription_past_due",
    "subscription_paused",
    "subscription_revoked",
    "subscription_revoked_immediately",
    "subscription_revoked_metered_at_period_end",
    "subscription_updated_after_create",
    "subscription_updated_pause_scheduled",
}
"""The receiver stores none of these, and no rule credits them."""

COMBINATIONS = [*((each,) for each in Trigger), WITH_TRIAL]


def planned_by(name: str, *triggers: Trigger) -> PlannedDelivery:
    """Return what a single rule with these triggers makes of a recorded webhook."""
    body = payload(name)
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=[str(each) for each in triggers]))
    return plan_delivery(peek_type(body) or "", body, rules)


def keys_by(name: str, *triggers: Trigger) -> list[str]:
    """Return the keys of the credits that such a rule gives for it."""
    plan = planned_by(name, *triggers).plan
    return [grant.key for grant in plan.grants] if plan else []


def test_the_table_names_every_recorded_webhook_once() -> None:
    rows = [*KINDS, *CREDITED, *REFUNDS, *IGNORED]
    assert sorted(rows) == sorted(REAL + FLOWS)


@pytest.mark.parametrize("name", PAID)
@pytest.mark.parametrize("triggers", COMBINATIONS, ids="+".join)
def test_a_paid_order_is_credited_by_its_trigger_alone(name: str, triggers: tuple[Trigger, ...]) -> None:
    """Beside ``subscription.created``, ``trial_start`` credits no order: the subscription is credited."""
    is_credited = triggers == (KINDS[name],)
    keys = keys_by(name, *triggers)
    assert len(keys) == is_credited
    assert all(key.startswith("credits:order:") for key in keys)


@pytest.mark.parametrize("name", CREDITED)
@pytest.mark.parametrize("triggers", COMBINATIONS, ids="+".join)
def test_what_has_no_order_is_credited_by_the_triggers_in_the_table(
    name: str, triggers: tuple[Trigger, ...]
) -> None:
    needed, key = CREDITED[name]
    keys = keys_by(name, *triggers)
    assert len(keys) == set(needed).issubset(triggers)
    assert all(one.startswith(key) for one in keys)


@pytest.mark.parametrize("name", sorted(REFUNDS))
def test_a_refund_credits_nothing(name: str) -> None:
    planned = planned_by(name, Trigger.PURCHASE)
    assert planned.type == ORDER_REFUNDED
    assert planned.plan is not None
    assert (planned.plan.grants, planned.plan.refund is None) == ((), False)


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_all_others_are_ignored(name: str) -> None:
    assert peek_type(payload(name)) not in STORED_TYPES  # customer.deleted is stored to erase, on request
    assert keys_by(name, *COMBINATIONS[0]) == []
