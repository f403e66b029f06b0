"""The delivery that says that a dispute of an order was lost: Polar sends no webhook for it."""

from typing import Annotated

from msgspec import Meta, Struct, json, to_builtins

from workers.core.claims import Dispute
from workers.core.grants import order_subject
from workers.core.order_refunds import refund_of, share_of
from workers.core.payloads import Order
from workers.core.plans import Plan
from workers.core.shapes import BodyReader, NonNegativeCents, spell_ids

# No webhook has this type, and the receiver would not store one that did.
DISPUTE_LOST = "credits.dispute"

_PREFIX = "dispute-"

Currency = Annotated[str, Meta(pattern=r"^[A-Za-z]{3}\Z")]


class LostDispute(Struct, frozen=True, kw_only=True):
    """A dispute as Polar lists it. Like a refund's, its ``amount`` is without the tax (``tax_amount``)."""

    id: str
    order_id: str
    amount: NonNegativeCents
    currency: Currency
    status: str

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID."""
        spell_ids(self, "id", "order_id")


class DisputedOrder(Order, frozen=True, kw_only=True):
    """The order that a dispute is about."""

    currency: Currency


class _Data(Struct, frozen=True, kw_only=True):
    dispute: LostDispute
    order: DisputedOrder


class _Body(Struct, frozen=True, kw_only=True):
    data: _Data


_BODY = BodyReader(_Body)


def dispute_delivery(dispute_id: str) -> str:
    """Return the id of the delivery that says that this dispute was lost."""
    return _PREFIX + dispute_id


def dispute_body(dispute: LostDispute, order: DisputedOrder) -> bytes:
    """Return the body of the delivery: what was read from Polar, without the customer's personal data."""
    told = to_builtins(order)
    del told["subscription"]
    return json.encode({"type": DISPUTE_LOST, "data": {"dispute": dispute, "order": told}})


def dispute_plan(body: bytes) -> Plan:
    """Return the plan of such a delivery, which grants nothing; it fails where a person must decide.

    It notes the dispute either way, so that the dispute is not found again. It also notes what has been
    refunded, in case that note was lost: the share of both together decides.
    """
    data = _BODY.read(body).data
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
