"""Polar's lists, sorted and filtered so that reading all pages misses no row.

Polar counts the rows of a page from the start of the list at every request, and the list changes while we
read it. A new row before our place moves the rest back by one: one row is read twice, which is harmless. A
row that leaves the list would move the rest forward, and one row would be missed. So each list is filtered
by what never changes. ``workers.polar.complete`` deals with rows of one time, which pages may miss.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

# Includes refunded orders, although nobody credits those: an order that is refunded between two requests
# must not leave the list.
_EVER_PAID = ("paid", "partially_refunded", "refunded")

MOST_PER_PAGE = 100  # Polar's maximum
_TIMESTAMPS = ("start_timestamp", "end_timestamp")

Row = dict[str, Any]


class Listing(Struct, frozen=True, kw_only=True):
    """A list of Polar's: its path, and the query that filters and sorts it."""

    path: str
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    per_page: int = MOST_PER_PAGE
    sorted_by: str = ""
    """The field of its rows by which Polar sorts it."""
    bounds: tuple[str, str] = ("", "")
    """The names of the parameters that take the time after which and before which its rows are."""

    def cut(self, per_page: int, *, newest_first: bool) -> "Listing":
        """Return this list in pages of another size, and in the order given if Polar can sort it."""
        sorting = {"sorting": f"{'-' * newest_first}{self.sorted_by}"} if "sorting" in self.query else {}
        return replace(self, per_page=per_page, query={**self.query, **sorting})

    def between(self, after: datetime, before: datetime) -> "Listing":
        """Return the part of this list between two moments; all of it if Polar cannot narrow it by time."""
        first, last = self.bounds
        if not first:
            return self
        latest, earliest = self._bound(first, after, max), self._bound(last, before, min)
        return replace(self, query={**self.query, first: latest, last: earliest})

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Return the bounds of a list that has both."""
        first, last = (datetime.fromisoformat(str(self.query[name])) for name in self.bounds)
        return first, last

    def _bound(self, name: str, moment: datetime, closer: Callable[[datetime, datetime], datetime]) -> str:
        given = self.query.get(name)
        return _iso_utc(closer(moment, datetime.fromisoformat(str(given))) if given else moment)


class Page(Struct, frozen=True, kw_only=True):
    """A page of a list: its rows as Polar sends them, and how many rows and pages the list has now."""

    items: list[Row]
    total: int
    last: int


def read_pages(read: Callable[[int], Page]) -> Iterator[Page]:
    """Yield the pages of a list, from page 1; each is read only when the caller asks for it.

    ``read`` returns the page with a number. It may wait, and try again when a request fails.
    """
    for number in count(1):
        page = read(number)
        yield page
        if number >= page.last or not page.items:
            return


def orders(*, created_after: datetime, created_before: datetime) -> Listing:
    """Return the list of paid orders, oldest first; it includes orders that were refunded since.

    An order appears when it is paid, which may be three weeks after it was created. Its ``subscription``
    has the state of today, not of the time of the order.

    Source: ``GET /v1/orders/``.
    """
    return Listing(
        path="/v1/orders/",
        query={
            "status": _EVER_PAID,
            "created_after": _iso_utc(created_after),
            "created_before": _iso_utc(created_before),
            "sorting": "created_at",
        },
        sorted_by="created_at",
        bounds=("created_after", "created_before"),
    )


def events(
    *, metadata: Mapping[str, str], before: datetime | None = None, since: datetime | None = None
) -> Listing:
    """Return the list of ingested events with this metadata, oldest first; they come without ``external_id``.

    An event appears in it seconds after it was ingested, rarely a minute after.

    Source: ``GET /v1/events/``.
    """
    query = {f"metadata[{name}]": value for name, value in metadata.items()}
    query |= {"source": "user", "sorting": "timestamp"}
    if before:
        query["end_timestamp"] = _iso_utc(before)
    if since:
        query["start_timestamp"] = _iso_utc(since)
    return Listing(path="/v1/events/", query=query, sorted_by="timestamp", bounds=_TIMESTAMPS)


def webhook_attempts(
    *, since: datetime, before: datetime, types: Iterable[str], only_failed: bool
) -> Listing:
    """Return the list of attempts to deliver webhooks of these types, newest first.

    In each ``webhook_event``, ``id`` is the webhook's id and ``payload`` its body (null once archived). A
    later attempt to deliver the same webhook may have succeeded.

    Source: ``GET /v1/webhooks/deliveries``.
    """
    return Listing(
        path="/v1/webhooks/deliveries",
        query={
            "event_type": tuple(sorted(types)),
            "start_timestamp": _iso_utc(since),
            "end_timestamp": _iso_utc(before),
        }
        | ({"succeeded": "false"} if only_failed else {}),
        sorted_by="created_at",
        bounds=_TIMESTAMPS,
    )


def lost_disputes() -> Listing:
    """Return the list of disputes that were lost, oldest first; it cannot be narrowed by time.

    Source: ``GET /v1/disputes/``.
    """
    query = {"status": "lost", "sorting": "created_at"}
    return Listing(path="/v1/disputes/", query=query, sorted_by="created_at")


def subscriptions(customer_ids: Sequence[str]) -> Listing:
    """Return the list of all subscriptions of these customers, oldest first; a URL has room for a hundred.

    Pages may miss subscriptions that began at the same moment as others.

    Source: ``GET /v1/subscriptions/``.
    """
    query = {"customer_id": tuple(customer_ids), "sorting": "started_at"}
    return Listing(path="/v1/subscriptions/", query=query, sorted_by="started_at")


def _iso_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
