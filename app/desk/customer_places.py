"""Turns the pages of a customer's history: where one begins is sealed, so that nobody can name any key."""

from app.desk.page import Visit
from workers.operations.history import CustomerHistory, CustomerPlace


def read_place(visit: Visit, customer_id: str) -> CustomerPlace:
    """Return where the page begins; with the newest if the link does not say, or is an hour old."""
    try:
        owner, fact, listed = visit.seals.read(visit.session, visit.get("after"))
    except (TypeError, ValueError):
        return CustomerPlace()
    return CustomerPlace(fact=fact, listed=listed) if owner == customer_id else CustomerPlace()


def next_place(visit: Visit, history: CustomerHistory) -> str:
    """Return what a link to the next page carries; "" on the last one."""
    place = history.next
    return visit.seal([history.customer_id, place.fact, place.listed]) if place else ""
