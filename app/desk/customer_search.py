"""Finds the customer whom an operator means: by an id of any kind, or by what only Polar knows."""

from app.desk.errors import DeskError
from app.desk.parts import DeskParts
from config.ids import read_id
from config.wording import quoted
from workers.core.customers import CustomerName, NameKind
from workers.core.grants import order_subject
from workers.errors import PolarError
from workers.polar.client import Polar
from workers.polar.lists import Row
from workers.polar.responses import needs

LONGEST = 200  # characters; no id and no address is longer


def find_customer(parts: DeskParts, text: str) -> str:
    """Return the id of the customer whom ``text`` names; DeskError if there is none.

    It may be an e-mail address, the merchant's own id, or the id of the customer, an order or a delivery.
    """
    if not 0 < len(text) <= LONGEST:
        raise DeskError(400, f"Write an e-mail address or an id, of at most {LONGEST} characters.")
    for one in parts.stores.deliveries.get([text]):
        if one.customer_id:
            return one.customer_id
    try:
        id_ = read_id(text)
    except ValueError:
        kind = NameKind.EMAIL if "@" in text else NameKind.EXTERNAL
        return ask_polar(parts, CustomerName(kind, text.lower() if kind is NameKind.EMAIL else text))
    return _customer_of_order(parts, id_) or id_


def ask_polar(parts: DeskParts, name: CustomerName) -> str:
    """Return Polar's id of a customer; DeskError if Polar has none, or cannot be asked."""
    if name.kind is NameKind.ID:
        return name.text
    if parts.polar is None:
        raise DeskError(503, "Only Polar knows that, and POLAR_ACCESS_TOKEN is not set.")
    try:
        with needs("customers:read"):
            row = parts.polar.ask(lambda polar: _look_up(polar, name))
    except PolarError as error:
        text = f"Polar cannot be asked now: {error}. The ids of orders and deliveries are known here."
        raise DeskError(503, text) from None
    if row is None:
        raise DeskError(404, f"Polar has no customer with the {name.kind} {quoted(name.text)}.")
    return str(row["id"])


def _look_up(polar: Polar, name: CustomerName) -> Row | None:
    if name.kind is NameKind.EMAIL:
        return next(iter(polar.customers_by_email(name.text)), None)
    return polar.customer_by_external_id(name.text)


def _customer_of_order(parts: DeskParts, id_: str) -> str | None:
    """Return the customer of an order; None if nothing is stored about an order with this id."""
    for claim in parts.stores.ledger.find(order_subject(id_)).claims:
        for grant in claim.grants:
            return grant.customer_id
    return next((one.customer_id for one in parts.history.of_order(id_) if one.customer_id), None)
