"""The list of deliveries: what arrived, what became of it, and why."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.desk import customer_places
from app.desk.filters import TYPES, Filters, read_filters, read_place
from app.desk.page import Shown, Visit
from workers.core.delivery import Delivery, Status
from workers.store.deliveries import Place
from workers.store.scripts import milliseconds_of

_ROWS = 50
_MOST_READ = 500  # deliveries; the others of a rare type are on the pages after

BULK = frozenset({Status.FAILED, Status.SKIPPED})
"""The statuses of which all that is filtered may be replayed at once."""


class DeliveriesPage(Struct, frozen=True, kw_only=True):
    """A page of the list; ``after`` is where the next one begins, empty on the last page."""

    filters: Filters
    rows: Sequence[Delivery]
    products: Mapping[str, str]
    after: str
    is_first: bool
    is_cut: bool
    """Whether the page ended because it had read enough, before it was full."""
    types: Sequence[str] = TYPES
    statuses: Sequence[Status] = tuple(Status)

    @property
    def can_replay_all(self) -> bool:
        """Return whether what is filtered can be replayed at once."""
        return bool(self.rows) and self.filters.status in BULK and not self.filters.is_about_one


def gather(visit: Visit) -> Shown:
    """Gather a page of the list."""
    filters = read_filters(visit.fields)
    if filters.customer_id:
        rows, after, is_cut = _of_customer(visit, filters)
    elif filters.order_id:
        rows, after, is_cut = _of_order(visit, filters)
    else:
        rows, after, is_cut = _newest(visit, filters, read_place(visit.get("after")))
    page = DeliveriesPage(
        filters=filters,
        rows=rows,
        products=visit.parts.stores.deliveries.product_names(one.id for one in rows),
        after=after,
        is_first=not visit.get("after"),
        is_cut=is_cut,
    )
    return Shown(template="deliveries.html", title="Deliveries", section="deliveries", model=page)


def _newest(visit: Visit, filters: Filters, place: Place | None) -> tuple[list[Delivery], str, bool]:
    """Return the rows, where the next page begins, and whether this one was cut."""
    newest = visit.parts.stores.deliveries.newest(
        filters.statuses,
        since=filters.since,
        until=filters.until,
        after=place,
        at_once=_MOST_READ if filters.type else _ROWS + 1,
    )
    rows: list[Delivery] = []
    last: Delivery | None = None
    for read, one in enumerate(newest):
        if len(rows) == _ROWS or read == _MOST_READ:
            return rows, _place_text(last), len(rows) < _ROWS
        last = one
        if filters.want(one):
            rows.append(one)
    return rows, "", False


def _of_order(visit: Visit, filters: Filters) -> tuple[list[Delivery], str, bool]:
    found = visit.parts.history.of_order(filters.order_id)
    wanted = [one for one in reversed(found) if filters.want(one)]
    return wanted[:_MOST_READ], "", len(wanted) > _MOST_READ


def _of_customer(visit: Visit, filters: Filters) -> tuple[list[Delivery], str, bool]:
    place = customer_places.read_place(visit, filters.customer_id)
    history = visit.parts.history.page_of_customer(filters.customer_id, place)
    rows = [one for one in reversed(history.deliveries) if filters.want(one)]
    return rows, customer_places.next_place(visit, history), len(rows) < len(history.deliveries)


def _place_text(one: Delivery | None) -> str:
    return f"{milliseconds_of(one.received_at)}:{one.id}" if one else ""
