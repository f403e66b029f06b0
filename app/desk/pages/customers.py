"""The search for a customer. It is posted, so that no address gets into a URL, a history or a proxy's log."""

from msgspec import Struct

from app.desk.customer_search import find_customer
from app.desk.errors import DeskError
from app.desk.page import Elsewhere, Shown, Visit


class CustomersPage(Struct, frozen=True, kw_only=True):
    """The form: what was typed before, and why nobody was found."""

    text: str = ""
    problem: str = ""


def gather(_visit: Visit) -> Shown:
    """Gather the empty form."""
    return _shown(CustomersPage())


def find(visit: Visit) -> Shown | Elsewhere:
    """Go to the customer who was named, or say why not."""
    text = visit.get("who")
    try:
        return Elsewhere(page="customer", fields={"id": find_customer(visit.parts, text)})
    except DeskError as error:
        return _shown(CustomersPage(text=text, problem=str(error)), error.status)


def _shown(page: CustomersPage, status: int = 200) -> Shown:
    return Shown(template="customers.html", title="Customers", section="customers", model=page, status=status)
