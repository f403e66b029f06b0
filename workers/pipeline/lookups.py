"""Completes plans with what they need from Polar: an offer its customer, an instalment its subscription."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from config.rules import Rules
from workers.core.delivery_plans import PlannedDelivery, plan_instalment, plan_offer
from workers.core.instalment_delivery import read_subscription
from workers.errors import PolarDeniedError, UnreadablePayloadError
from workers.pipeline.ports import OfferCustomers, Subscriptions
from workers.pipeline.subscriptions import Look


def with_customers(
    planned: Sequence[PlannedDelivery], customers: OfferCustomers | None, rules: Rules
) -> list[PlannedDelivery]:
    """Return the deliveries with the plans of offers; without their customer, offers are put off."""
    requests = [one.offer for one in planned if one.offer]
    if not requests:
        return list(planned)
    try:
        found, why_not = customers.find(requests) if customers else ({}, "nobody looks it up")
    except PolarDeniedError as error:
        failure = f"{error}; give the token the scope customers:read in Polar's dashboard"
        return [replace(one, plan=None, failure=failure) if one.offer else one for one in planned]
    return [_with_customer(one, found, why_not, rules) for one in planned]


def _with_customer(
    planned: PlannedDelivery, found: Mapping[str, str | None], why_not: str, rules: Rules
) -> PlannedDelivery:
    if planned.offer is None:
        return planned
    if planned.offer.delivery_id not in found:
        return replace(planned, plan=None, put_off=why_not)
    return plan_offer(planned.offer, found[planned.offer.delivery_id], rules)


def with_subscriptions(
    planned: Sequence[PlannedDelivery], subscriptions: Subscriptions | None
) -> list[PlannedDelivery]:
    """Return the deliveries with the plans of instalments; without their subscription, they are put off."""
    requests = [one.instalment for one in planned if one.instalment]
    if not requests:
        return list(planned)
    wanted = {one.subscription_id: one.customer_id for one in requests}
    look = subscriptions.find(wanted) if subscriptions else Look(why_not="nobody looks it up")
    return [_with_subscription(one, look) for one in planned]


def _with_subscription(planned: PlannedDelivery, look: Look) -> PlannedDelivery:
    if planned.instalment is None:
        return planned
    seen = look.found.get(planned.instalment.subscription_id)
    if seen is None:
        return replace(planned, plan=None, put_off=look.why_not, put_off_seconds=look.after_seconds)
    try:
        state = None if seen.row is None else read_subscription(seen.row)
    except UnreadablePayloadError as error:
        text = f"its subscription cannot be read: {error}"
        return replace(planned, plan=None, put_off=text, put_off_seconds=look.after_seconds)
    return plan_instalment(planned.instalment, state, seen.at)
