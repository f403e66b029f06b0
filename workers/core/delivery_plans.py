"""Turns a delivery's body into a plan: by the rules, or as a person requested."""

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Rules
from workers.core.adjust_delivery import MANUAL_ADJUST, adjust_plan
from workers.core.claims import Claim, Standing
from workers.core.dispute_delivery import DISPUTE_LOST, dispute_plan
from workers.core.due_instalments import DueInstalment
from workers.core.envelope import CUSTOMER_DELETED, ORDER_REFUNDED, read_type
from workers.core.facts import Fact, as_shown, fact_of, shown_by
from workers.core.grants import order_subject
from workers.core.instalment_delivery import read_instalment_request
from workers.core.instalments import INSTALMENT, InstalmentRequest, SubscriptionState
from workers.core.manual import MANUAL_GRANT, MANUAL_PLANS, MANUAL_REVOKE
from workers.core.offers import (
    OFFER,
    OfferRequest,
    offer_plan,
    read_offer_request,
    unknown_customer_plan,
)
from workers.core.order_refunds import refund_of
from workers.core.payloads import read_deleted_customer, read_order
from workers.core.planning import plan_for
from workers.core.plans import Plan
from workers.core.take_back_delivery import TAKE_BACK, take_back_plan
from workers.errors import UnreadablePayloadError

_TAKING_BACK = frozenset({ORDER_REFUNDED, DISPUTE_LOST, TAKE_BACK, MANUAL_REVOKE, MANUAL_ADJUST})


class PlannedDelivery(Struct, frozen=True, kw_only=True):
    """A delivery's plan, or why it has none (``skip`` or ``failure``)."""

    type: str
    fact: Fact | None = None
    """The fact that the rules judged, if it was kept. They judge no refunds and nothing manual."""
    plan: Plan | None = None
    deleted_customer: str | None = None
    """The id of the customer whose stored bodies it erases, where that is switched on."""
    offer: OfferRequest | None = None
    """The storefront's request. Its plan is only a preview until its customer is looked up at Polar."""
    instalment: InstalmentRequest | None = None
    """The instalment that has come due. Its plan lacks what only its subscription at Polar shows."""
    put_off: str = ""
    """Why it is looked at again later."""
    put_off_seconds: float = 10.0
    skip: str = ""
    failure: str = ""

    @property
    def customer_id(self) -> str | None:
        """Return the id of the customer whom the delivery is about; None if it names none."""
        return self.plan.customer_id if self.plan else self.deleted_customer

    @property
    def takes_back(self) -> bool:
        """Return whether the delivery can only change what was credited: take it back, or adjust it."""
        return self.type in _TAKING_BACK

    def claims_to_send(self, standing: Standing) -> tuple[Claim, ...]:
        """Return the claims whose grants the delivery sends until Polar confirms them.

        An adjustment or an instalment is sent by its own delivery, and that one sends nothing else.
        """
        if self.plan and self.plan.adjust:
            return standing.adjustments_to_send(self.plan.adjust.number)
        if self.plan and self.plan.instalment:
            claim = self.plan.instalment.claim(standing)
            return (claim,) if claim and not claim.is_dismissed else ()
        return standing.claims_to_send(takes_back=self.takes_back)

    @property
    def is_manual_grant(self) -> bool:
        """Return whether a person granted these credits, not a webhook."""
        return self.type == MANUAL_GRANT


def plan_delivery(type_: str, body: bytes, rules: Rules, *, keeps_fact: bool = True) -> PlannedDelivery:
    """Return the plan that ``rules`` make of a delivery, or why there is none.

    A fact holds its whole webhook. A drain keeps none: memory that is used again at once is in the
    processor's cache, and that of hundreds of webhooks is not.
    """
    try:
        if read_plan := _PLANS_WITHOUT_RULES.get(type_):
            plan = read_plan(body)
            return PlannedDelivery(type=type_, plan=plan, failure=plan.failure)
        if read := _WITHOUT_FACTS.get(type_):
            return read(body, rules)
        fact = fact_of(type_, body)
        if fact is None:
            skip = f"{read_type(body)} is ignored: no rule can credit it"
            return PlannedDelivery(type=type_, skip=skip)
        return PlannedDelivery(type=type_, fact=fact if keeps_fact else None, plan=plan_for(fact, rules))
    except UnreadablePayloadError as error:
        return PlannedDelivery(type=type_, failure=str(error))


def _offer_delivery(body: bytes, rules: Rules) -> PlannedDelivery:
    request = read_offer_request(body)
    plan = offer_plan(request, request.customer_id or "", rules)
    return PlannedDelivery(type=OFFER, offer=request, plan=plan)


def plan_offer(request: OfferRequest, customer_id: str | None, rules: Rules) -> PlannedDelivery:
    """Return the plan of a request whose customer was looked up; ``customer_id`` is None if there is none."""
    if customer_id is None:
        return PlannedDelivery(type=OFFER, plan=unknown_customer_plan(request))
    return PlannedDelivery(type=OFFER, plan=offer_plan(request, customer_id, rules))


def plan_instalment(
    request: InstalmentRequest, state: SubscriptionState | None, polar_now: datetime
) -> PlannedDelivery:
    """Return the plan of an instalment whose subscription was looked up."""
    plan = Plan(
        subject=request.order_subject,
        customer_id=request.customer_id,
        order_id=request.order_id,
        instalment=DueInstalment(request=request, state=state, polar_now=polar_now),
    )
    return PlannedDelivery(type=INSTALMENT, instalment=request, plan=plan)


def _instalment_delivery(body: bytes, _rules: Rules) -> PlannedDelivery:
    request = read_instalment_request(body)
    plan = Plan(subject=request.order_subject, customer_id=request.customer_id, order_id=request.order_id)
    return PlannedDelivery(type=INSTALMENT, instalment=request, plan=plan)


def plan_as_shown(
    planned: PlannedDelivery, standing: Standing | None, rules: Rules, body: bytes = b""
) -> PlannedDelivery:
    """Return the plan of a delivery, or why it has none.

    It takes an order for what an earlier webhook showed it to be. ``body`` is the delivery's: it is read
    again where the fact was not kept.
    """
    if standing is None or planned.plan is None or standing.shown in {None, planned.plan.shown}:
        return planned
    fact = planned.fact or (fact_of(planned.type, body) if body else None)
    if fact is None:
        return planned
    fact = as_shown(fact, standing.shown)
    try:
        return replace(planned, fact=fact, plan=plan_for(fact, rules))
    except UnreadablePayloadError as error:  # other rules may be the first to need the whole body
        return PlannedDelivery(type=planned.type, failure=str(error))


def _forgetting(body: bytes, _rules: Rules) -> PlannedDelivery:
    customer = read_deleted_customer(body).view
    skip = "credits nothing; with CREDITS_FORGET_DELETED=1 it erases the stored bodies about this customer"
    return PlannedDelivery(type=CUSTOMER_DELETED, deleted_customer=customer.id, skip=skip)


def refund_plan(body: bytes) -> Plan:
    """Return the plan of an ``order.refunded`` webhook, which grants nothing and records the refund."""
    order = read_order(body).view
    return Plan(
        subject=order_subject(order.id),
        customer_id=order.customer_id,
        order_id=order.id,
        refund=refund_of(order),
        shown=shown_by(order),
    )


_PLANS_WITHOUT_RULES: Mapping[str, Callable[[bytes], Plan]] = {
    ORDER_REFUNDED: refund_plan,
    DISPUTE_LOST: dispute_plan,
    TAKE_BACK: take_back_plan,
    MANUAL_ADJUST: adjust_plan,
    **MANUAL_PLANS,
}

_WITHOUT_FACTS: Mapping[str, Callable[[bytes, Rules], PlannedDelivery]] = {
    OFFER: _offer_delivery,
    INSTALMENT: _instalment_delivery,
    CUSTOMER_DELETED: _forgetting,
}
