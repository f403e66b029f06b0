"""A customer: "where are my credits?" answered on one page, with a text for the reply."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from app.desk.customer_places import next_place, read_place
from app.desk.errors import DeskError
from app.desk.page import Shown, Visit
from app.desk.reply import reply_text
from config.ids import read_id
from workers.core.claims import Entry
from workers.core.customers import CustomerName, NameKind
from workers.core.delivery import Delivery, Status
from workers.core.sums import sum_up
from workers.core.upcoming import Upcoming, upcoming
from workers.core.wording import credits_text
from workers.errors import PolarError
from workers.operations.credits.reader import MeterCredits
from workers.operations.history import CustomerHistory, CustomerPlace

_MOST_EVENTS = 200
_MOST_UPCOMING = 12
_ZERO = Decimal(0)


class MeterRow(Struct, frozen=True, kw_only=True):
    """A customer's credits on one meter: by the ledger, and at Polar."""

    meter: str
    granted: Decimal
    taken_back: Decimal
    at_polar: MeterCredits | None


class CustomerEvent(Struct, frozen=True, kw_only=True):
    """A delivery about the customer, or a grant whose delivery is no longer kept."""

    at: datetime
    title: str
    product: str = ""
    detail: str
    kind: str
    delivery: Delivery | None = None


class CustomerPage(Struct, frozen=True, kw_only=True):
    """What the page of a customer shows; ``problem`` says why Polar's numbers are missing."""

    customer_id: str
    external_id: str | None
    meters: Sequence[MeterRow]
    problem: str
    events: Sequence[CustomerEvent]
    left_out: int
    failed: int
    upcoming: Sequence[Upcoming]
    more_upcoming: int
    reply: str
    is_first: bool
    """Whether the page has the newest; only this one has more than what happened."""
    after: str
    """Where the next page begins; empty on the last one."""


class _AtPolar(Struct, frozen=True, kw_only=True):
    external_id: str | None = None
    meters: Mapping[str, MeterCredits]
    problem: str = ""


def gather(visit: Visit) -> Shown:
    """Gather the page of a customer."""
    try:
        customer_id = read_id(visit.get("id"))
    except ValueError:
        raise DeskError(404, "A customer's id at Polar is a UUID. Find customers under Customers.") from None
    place = read_place(visit, customer_id)
    history = visit.parts.history.page_of_customer(customer_id, place)
    products = visit.parts.stores.deliveries.product_names(one.id for one in history.deliveries)
    to_come = sorted((one for each in history.standings for one in upcoming(each)), key=lambda one: one.at)
    is_first = place == CustomerPlace()
    at_polar = _ask_polar(visit, history) if is_first else _AtPolar(meters={})
    events = sorted(_events(history, products), key=lambda event: event.at, reverse=True)
    known = {name: one.balance for name, one in at_polar.meters.items() if one.balance is not None}
    page = CustomerPage(
        customer_id=customer_id,
        external_id=at_polar.external_id,
        meters=_meters(history, at_polar.meters),
        problem=at_polar.problem,
        events=events[:_MOST_EVENTS],
        left_out=max(0, len(events) - _MOST_EVENTS),
        failed=sum(one.status is Status.FAILED for one in history.deliveries),
        upcoming=to_come[:_MOST_UPCOMING],
        more_upcoming=max(0, len(to_come) - _MOST_UPCOMING),
        reply=reply_text(history, products, known, to_come[:1]),
        is_first=is_first,
        after=next_place(visit, history),
    )
    return Shown(template="customer.html", title="Customer", section="customers", model=page)


def _ask_polar(visit: Visit, history: CustomerHistory) -> _AtPolar:
    if visit.parts.credits is None:
        return _AtPolar(meters={}, problem="POLAR_ACCESS_TOKEN is not set")
    try:
        found = visit.parts.credits.read(
            CustomerName(NameKind.ID, history.customer_id), sum_up(history.entries)
        )
    except PolarError as error:
        return _AtPolar(meters={}, problem=f"Polar cannot be asked now: {error}")
    if found is None:
        return _AtPolar(meters={}, problem="Polar has no such customer")
    return _AtPolar(external_id=found.external_id, meters=found.meters)


def _meters(history: CustomerHistory, at_polar: Mapping[str, MeterCredits]) -> list[MeterRow]:
    totals = history.totals
    rows = []
    for meter in sorted({*totals, *at_polar}):
        granted, taken_back = totals.get(meter, (_ZERO, _ZERO))
        rows.append(
            MeterRow(meter=meter, granted=granted, taken_back=taken_back, at_polar=at_polar.get(meter))
        )
    return rows


def _events(history: CustomerHistory, products: Mapping[str, str]) -> Iterator[CustomerEvent]:
    given = history.by_delivery
    for one in history.deliveries:
        is_granted = one.status is Status.GRANTED and one.id in given
        yield CustomerEvent(
            at=one.received_at,
            title=one.type or "not readable",
            product=products.get(one.id, ""),
            detail=credits_text(given[one.id]) if is_granted else one.reason,
            kind=one.status.value,
            delivery=one,
        )
    kept = {one.id for one in history.deliveries}
    for entry in history.entries:
        if entry.delivery_id not in kept:
            yield _ledger_event(entry)


def _ledger_event(entry: Entry) -> CustomerEvent:
    return CustomerEvent(
        at=entry.granted_at or entry.claimed_at,
        title="in the ledger",
        detail=f"{credits_text([entry.grant])}; its delivery is no longer kept",
        kind=Status.GRANTED.value if entry.granted_at else Status.WAITING.value,
    )
