"""The delivery that takes back what refunds take from an order, once Polar has the order's credits."""

from msgspec import Struct

from workers.core.grants import order_subject
from workers.core.plans import Plan
from workers.core.shapes import BodyReader, spell_ids

# No webhook has this type, and the receiver would not store one that did. See due_take_backs.lua.
TAKE_BACK = "credits.take_back"

_PREFIX = "take-back-"


class _Data(Struct, frozen=True, kw_only=True):
    order_id: str
    customer_id: str

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID."""
        spell_ids(self, "order_id", "customer_id")


class _Body(Struct, frozen=True, kw_only=True):
    data: _Data


_BODY = BodyReader(_Body)


def take_back_delivery(order_id: str) -> str:
    """Return the id of the delivery that takes back what refunds take from this order."""
    return _PREFIX + order_id


def is_take_back_delivery(delivery_id: str) -> bool:
    """Return whether a delivery has such an id."""
    return delivery_id.startswith(_PREFIX)


def take_back_plan(body: bytes) -> Plan:
    """Return the plan of such a delivery. It grants nothing; the refunds are noted with the order."""
    data = _BODY.read(body).data
    return Plan(subject=order_subject(data.order_id), customer_id=data.customer_id, order_id=data.order_id)
