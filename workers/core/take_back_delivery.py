"""The delivery that takes back what refunds take from an order, once Polar has the order's credits."""

from pydantic import ValidationError

from workers.core.envelope import validation_error_text
from workers.core.grants import order_subject
from workers.core.payloads import Id
from workers.core.plans import Plan
from workers.core.views import View
from workers.errors import UnreadablePayloadError

# No webhook has this type, and the receiver would not store one that did. See queue_take_back in ledger.lua.
TAKE_BACK = "credits.take_back"

_PREFIX = "take-back-"


class _Data(View):
    order_id: Id
    customer_id: Id


class _Body(View):
    data: _Data


def take_back_delivery(order_id: str) -> str:
    """Return the id of the delivery that takes back what refunds take from this order."""
    return _PREFIX + order_id


def is_take_back_delivery(delivery_id: str) -> bool:
    """Return whether a delivery has such an id."""
    return delivery_id.startswith(_PREFIX)


def take_back_plan(body: bytes) -> Plan:
    """Return the plan of such a delivery. It grants nothing; the refunds are noted with the order."""
    try:
        data = _Body.model_validate_json(body).data
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
    return Plan(subject=order_subject(data.order_id), customer_id=data.customer_id, order_id=data.order_id)
