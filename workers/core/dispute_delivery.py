"""The delivery that says that a dispute of an order was lost: Polar sends no webhook for it."""

import json
from typing import Annotated, Any

from pydantic import Field, ValidationError

from workers.core.claims import Dispute
from workers.core.envelope import validation_error_text
from workers.core.grants import order_subject
from workers.core.payloads import Cents, Id, Order
from workers.core.plans import Plan
from workers.core.refunds import refund_of, share_of
from workers.core.views import View
from workers.errors import UnreadablePayloadError

# No webhook has this type, and the receiver would not store one that did.
DISPUTE_LOST = "credits.dispute"

_PREFIX = "dispute-"

Currency = Annotated[str, Field(pattern="^[A-Za-z]{3}$")]


class LostDispute(View):
    """A dispute as Polar lists it. Like a refund's, its ``amount`` is without the tax (``tax_amount``)."""

    id: Id
    order_id: Id
    amount: Annotated[Cents, Field(ge=0)]
    currency: Currency
    status: str


class DisputedOrder(Order):
    """The order that a dispute is about."""

    currency: Currency


class _Data(View):
    dispute: LostDispute
    order: DisputedOrder


class _Body(View):
    data: _Data


def dispute_delivery(dispute_id: str) -> str:
    """Return the id of the delivery that says that this dispute was lost."""
    return _PREFIX + dispute_id


def dispute_body(dispute: LostDispute, order: DisputedOrder) -> bytes:
    """Return the body of the delivery: what was read from Polar, without the customer's personal data."""
    data: dict[str, Any] = {
        "dispute": dispute.model_dump(mode="json"),
        "order": order.model_dump(mode="json", exclude={"subscription"}),
    }
    return json.dumps({"type": DISPUTE_LOST, "data": data}, separators=(",", ":")).encode()


def dispute_plan(body: bytes) -> Plan:
    """Return the plan of such a delivery, which grants nothing; it fails where a person must decide.

    It notes the dispute either way, so that the dispute is not found again. It also notes what has been
    refunded, in case that note was lost: the share of both together decides.
    """
    try:
        data = _Body.model_validate_json(body).data
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
    dispute, order = data.dispute, data.order
    review = _why_review(dispute, order)
    return Plan(
        subject=order_subject(order.id),
        customer_id=order.customer_id,
        order_id=order.id,
        refund=refund_of(order),
        dispute=Dispute(id=dispute.id, share=share_of(order, 0 if review else dispute.amount)),
        failure=review,
    )


def _why_review(dispute: LostDispute, order: DisputedOrder) -> str:
    if dispute.currency.lower() == order.currency.lower():
        return ""
    return (
        f"needs review: the dispute is about {dispute.amount} cents in {dispute.currency}, but the order is "
        f"in {order.currency}: if it is right, `credits revoke {order.id}`; then dismiss this delivery"
    )
