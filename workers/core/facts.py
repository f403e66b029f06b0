"""Turns a webhook into the fact that rules judge, such as "this order was paid"."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from config.cel.expressions import Variables
from config.rules import ORDER_TRIGGERS, Trigger
from workers.core.claims import Refund, Shown
from workers.core.envelope import (
    CUSTOMER_CREATED,
    ORDER_PAID,
    SUBSCRIPTION_CREATED,
    SUBSCRIPTION_CYCLED,
    SUBSCRIPTION_RESUMED,
)
from workers.core.grants import customer_subject, cycle_subject, order_subject, subscription_subject
from workers.core.order_refunds import refund_of
from workers.core.payloads import (
    Customer,
    NewSubscription,
    Order,
    Period,
    Read,
    read_customer,
    read_new_subscription,
    read_order,
    read_period,
)
from workers.core.periods import paid_period, trial_period
from workers.core.products import product_name
from workers.core.schedule import PaidPeriod

_FINAL_INVOICE = "final invoice of an ended subscription: never credited"

# Every order trigger is one of Polar's billing reasons, except the start of a trial.
_TRIGGERS_BY_REASON = {one.value: one for one in ORDER_TRIGGERS if one is not Trigger.TRIAL_START}


class Fact(Struct, frozen=True, kw_only=True, dict=True):
    """Something that can be credited once. ``subject`` identifies it, ``moment`` is when it happened."""

    subject: str
    moment: datetime
    customer_id: str
    webhook: Read[Any]
    name_variables: Callable[[Mapping[str, Any]], Variables]
    """Returns the variables of expressions for the webhook's data."""
    trigger: Trigger | None = None
    """None if no rule can credit this fact; ``why_never`` then says why."""
    why_never: str = ""
    begins_with_trial: bool = False
    """Whether a subscription was created whose first period is a trial."""
    product_id: str | None = None
    order_id: str | None = None
    refund: Refund | None = None
    """The refunds that the webhook already mentions."""
    shown: Shown | None = None
    """What decides an order's trigger, if its billing reason does not."""
    order: Order | None = None
    """The order that was paid; None if the fact is about something else."""
    verb: str = "created"
    """What happened, as a reason says it: "created", or "started" for a period."""

    @cached_property
    def variables(self) -> Variables:
        """Return the variables of expressions. Without one, the webhook is never parsed as a whole."""
        return self.name_variables(self.webhook.raw)

    @property
    def period(self) -> PaidPeriod | None:
        """Return the period that an order has paid, or the trial that it began; None if there is none.

        It is worked out when somebody asks, because few rules have ``every``.
        """
        if self.order is None:
            return None
        return trial_period(self.order) if self.shown is Shown.TRIAL_START else paid_period(self.order)

    @property
    def product_name(self) -> str:
        """Return the product's name as the webhook has it; empty if it has none."""
        return product_name(self.webhook.body)


def order_fact(read: Read[Order]) -> Fact:
    """Return the fact that an order was paid."""
    order = read.view
    reason = order.billing_reason
    trigger = _TRIGGERS_BY_REASON.get(reason)
    fact = Fact(
        subject=order_subject(order.id),
        moment=order.created_at,
        customer_id=order.customer_id,
        webhook=read,
        name_variables=Variables.of_order,
        trigger=trigger,
        why_never="" if trigger else f"billing reason {reason!r} is not one that rules can name",
        product_id=order.product_id,
        order_id=order.id,
        refund=refund_of(order),
        order=order,
    )
    return as_shown(fact, shown_by(order))


def as_shown(fact: Fact, shown: Shown | None) -> Fact:
    """Return the fact of an order that was shown to be a final invoice or a trial's start."""
    if shown in {None, fact.shown}:
        return fact
    if shown is Shown.FINAL_INVOICE:
        return replace(fact, shown=shown, trigger=None, why_never=_FINAL_INVOICE)
    return replace(fact, shown=shown, trigger=Trigger.TRIAL_START, why_never="")


def shown_by(order: Order) -> Shown | None:
    """Return whether an order is a final invoice or a trial's start, as its subscription is shown."""
    if order.is_final_invoice:
        return Shown.FINAL_INVOICE
    return Shown.TRIAL_START if order.is_trial_start else None


def period_fact(read: Read[Period]) -> Fact:
    """Return the fact that a subscription's period began, paid or not."""
    period = read.view
    return Fact(
        subject=cycle_subject(period.id, period.current_period_start),
        moment=period.current_period_start,
        customer_id=period.customer_id,
        webhook=read,
        name_variables=Variables.of_subscription,
        trigger=Trigger.PERIOD,
        product_id=period.product_id,
        verb="started",
    )


def new_subscription_fact(read: Read[NewSubscription]) -> Fact:
    """Return the fact that a subscription was created, with or without an order."""
    subscription = read.view
    return Fact(
        subject=subscription_subject(subscription.id),
        moment=subscription.created_at,
        customer_id=subscription.customer_id,
        webhook=read,
        name_variables=Variables.of_subscription,
        trigger=Trigger.SUBSCRIPTION,
        begins_with_trial=subscription.begins_with_trial,
        product_id=subscription.product_id,
    )


def customer_fact(read: Read[Customer]) -> Fact:
    """Return the fact that a customer was created."""
    customer = read.view
    return Fact(
        subject=customer_subject(customer.id),
        moment=customer.created_at,
        customer_id=customer.id,
        webhook=read,
        name_variables=Variables.of_customer,
        trigger=Trigger.CUSTOMER,
    )


_FACTS: Mapping[str, Callable[[bytes], Fact]] = {
    ORDER_PAID: lambda body: order_fact(read_order(body)),
    SUBSCRIPTION_CREATED: lambda body: new_subscription_fact(read_new_subscription(body)),
    SUBSCRIPTION_CYCLED: lambda body: period_fact(read_period(body)),
    SUBSCRIPTION_RESUMED: lambda body: period_fact(read_period(body)),  # Polar sends no .cycled for it
    CUSTOMER_CREATED: lambda body: customer_fact(read_customer(body)),
}


def fact_of(type_: str, body: bytes) -> Fact | None:
    """Return the fact in a webhook; None if rules cannot credit webhooks of this type."""
    read = _FACTS.get(type_)
    return read(body) if read else None
