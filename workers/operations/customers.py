"""Finds customers at Polar by id, external id or email, and creates those that do not exist."""

from collections.abc import Iterator, Sequence
from functools import partial
from http import HTTPStatus

from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.errors import PolarDeniedError
from workers.operations.pacing import OnProgress, Pacer
from workers.polar.client import Polar
from workers.polar.lists import Listing, Row
from workers.polar.responses import needs

_ALL_CUSTOMERS = Listing(path="/v1/customers/")

# Up to this many customers are requested one by one. For more, the list of all customers is read if
# that takes fewer requests.
_MOST_ONE_BY_ONE = 20

# Up to this many customers that the list lacks are requested one by one: its pages shift if a customer is
# deleted while it is read.
_MOST_RECHECKED = 50

Ids = dict[CustomerName, str]
"""Polar's id of each customer found."""


class Customers:
    """Finds and creates the customers of the token's organization."""

    def __init__(self, polar: Polar, pacer: Pacer) -> None:
        self._polar = polar
        self._pacer = pacer

    @needs("customers:read")
    def find(self, names: Sequence[CustomerName], on_progress: OnProgress) -> Ids:
        """Return the ids of the customers that exist."""
        found: Ids = {}
        left = list(dict.fromkeys(names))
        if len(left) > _MOST_ONE_BY_ONE:
            in_list = self._find_in_list(left, on_progress)
            found = in_list or {}
            left = [name for name in left if name not in found]
            if in_list is not None and len(left) > _MOST_RECHECKED:
                return found
        for number, name in enumerate(left):
            on_progress(number, len(left))
            if (customer_id := self._find_one(name)) is not None:
                found[name] = customer_id
        return found

    def create(self, new_customer: NewCustomer) -> str:
        """Create a customer and return their id; raises PolarRefusedError with Polar's own reason."""
        create = partial(
            self._polar.create_customer,
            email=new_customer.email,
            name=new_customer.name,
            external_id=new_customer.external_id,
        )
        return str(self._pacer.ask(create)["id"])

    def _find_in_list(self, names: Sequence[CustomerName], on_progress: OnProgress) -> Ids | None:
        """Search the list of all customers; return None, unread, if one request for each name is cheaper."""
        wanted, found = set(names), Ids()
        for number, page in enumerate(self._pacer.read(self._polar, _ALL_CUSTOMERS)):
            if page.last > len(names):
                return None
            on_progress(number, page.last)
            found |= {name: str(row["id"]) for row in page.items for name in _names(row) if name in wanted}
            if len(found) == len(wanted):
                break
        return found

    def _find_one(self, name: CustomerName) -> str | None:
        try:
            row = self._pacer.ask(partial(self._request, name))
        except PolarDeniedError as error:
            if name.kind is NameKind.ID and error.status == HTTPStatus.FORBIDDEN:
                return name.text  # the token may only ingest: Polar checks the id when it gets the event
            raise
        return str(row["id"]) if row else None

    def _request(self, name: CustomerName) -> Row | None:
        match name.kind:
            case NameKind.ID:
                return self._polar.customer(name.text)
            case NameKind.EXTERNAL:
                return self._polar.customer_by_external_id(name.text)
            case NameKind.EMAIL:
                return next(iter(self._polar.customers_by_email(name.text)), None)


def _names(row: Row) -> Iterator[CustomerName]:
    yield CustomerName(NameKind.ID, str(row.get("id")))
    yield CustomerName(NameKind.EXTERNAL, str(row.get("external_id")))
    yield CustomerName(NameKind.EMAIL, str(row.get("email")).lower())
