"""Finds the deliveries about an order or a customer, newest first, for lists."""

from collections.abc import Iterator

from app.cli.customer_options import facts_to_read, tell_of_older
from workers.core.delivery import Delivery
from workers.operations.history import History
from workers.store.audit import Audit
from workers.store.stores import Stores


def about_order(held: Stores, order_id: str) -> Iterator[Delivery]:
    """Return the deliveries about an order, newest first."""
    return reversed(history_of(held).of_order(order_id))


def about_customer(held: Stores, customer_id: str, limit: int) -> Iterator[Delivery]:
    """Return the deliveries about a customer's newest facts, newest first; say if older ones are left out."""
    history = history_of(held).newest_of_customer(customer_id, facts_to_read(limit))
    if history.has_older:
        tell_of_older(limit)
    return reversed(history.deliveries)


def history_of(held: Stores) -> History:
    """Return the reader of everything that is stored about an order or a customer."""
    return History(deliveries=held.deliveries, audit=Audit(held.redis, held.ledger))
