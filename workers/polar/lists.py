"""Polar's lists: in what order and within what bounds each is read, so that no row is passed over.

Polar counts a page's rows from the beginning of the list at every request, and the world goes on while
we read. A list is safe where rows only ever come: each that comes before the place where we are moves
the rest back by one, so that one row is read twice. One that went would pull a row past us, unread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

# Whatever was paid, refunded or not. Nobody credits what was refunded in full, but an order that left
# the list between two pages would be one that went.
_ONCE_PAID = ("paid", "partially_refunded", "refunded")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A list of Polar's, and what of it is wanted."""

    path: str
    wanted: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of a list: its rows as Polar shows them, and how many rows and pages there are by now."""

    items: list[Row]
    total: int
    last: int


def pages(read: Callable[[int], Page]) -> Iterator[Page]:
    """Yield a list page by page, from 1, each read no sooner than it is asked for.

    ``read`` may wait for its turn, and ask again for a page that it could not get.
    """
    for number in count(1):
        page = read(number)
        yield page
        if number >= page.last or not page.items:
            return


def orders(*, created_after: datetime, created_before: datetime) -> Listing:
    """Return the orders that were paid, oldest first; among them those refunded since, in part or in full.

    One is listed once it is paid, which may be three weeks after it was created. Its ``subscription`` is
    what that is now, not what it was then.

    Source: ``GET /v1/orders/``.
    """
    return Listing(
        path="/v1/orders/",
        wanted={
            "status": _ONCE_PAID,
            "created_after": _said(created_after),
            "created_before": _said(created_before),
            "sorting": "created_at",
        },
    )


def events(*, metadata: Mapping[str, str], before: datetime) -> Listing:
    """Return the ingested events with this metadata, oldest first; their ``external_id`` is not shown.

    Source: ``GET /v1/events/``.
    """
    wanted = {f"metadata[{name}]": value for name, value in metadata.items()}
    wanted |= {"source": "user", "end_timestamp": _said(before), "sorting": "timestamp"}
    return Listing(path="/v1/events/", wanted=wanted)


def failed_webhooks(*, since: datetime, before: datetime, types: Iterable[str]) -> Listing:
    """Return the attempts to deliver a webhook of these types that failed; Polar lists the newest first.

    Of each ``webhook_event`` the ``id`` is the webhook's own and ``payload`` its body (null once it is
    archived). A later attempt of the same may have arrived.

    Source: ``GET /v1/webhooks/deliveries``.
    """
    return Listing(
        path="/v1/webhooks/deliveries",
        wanted={
            "succeeded": "false",
            "event_type": tuple(sorted(types)),
            "start_timestamp": _said(since),
            "end_timestamp": _said(before),
        },
    )


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
