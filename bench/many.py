"""A Polar with very many events or orders: ``python -m bench.many PORT EVENTS ORDERS``.

It has failed to deliver the webhook of each order. It stores nothing: each row is made when it is asked for.
``/requests`` tells how many requests there were.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil, floor
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from config.samples import read_sample

Row = dict[str, Any]

_SPAN = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManyRows:
    """A list of rows, equally far apart in time, and the first at ``begin``."""

    count: int
    begin: datetime
    apart: timedelta
    make: Callable[[int, str], Row]
    """Makes a row from its number and its time."""

    def page(
        self,
        number: int,
        size: int,
        *,
        after: str | None = None,
        before: str | None = None,
        newest_first: bool = False,
    ) -> Row:
        """Return a page as Polar does: the rows between two moments."""
        first = 0 if after is None else min(self.count, max(0, floor(self._place(after)) + 1))
        end = self.count if before is None else min(self.count, max(0, ceil(self._place(before))))
        total = max(0, end - first)
        places = range((number - 1) * size, min(number * size, total))
        rows = [self._row(end - 1 - place if newest_first else first + place) for place in places]
        return {"items": rows, "pagination": {"total_count": total, "max_page": ceil(total / size)}}

    def _place(self, moment: str) -> float:
        return (datetime.fromisoformat(moment) - self.begin) / self.apart

    def _row(self, number: int) -> Row:
        return self.make(number, (self.begin + number * self.apart).isoformat())


def many_events(count: int, *, now: datetime) -> ManyRows:
    """Return so many usage events of ours, of the last day."""
    return ManyRows(count=count, begin=now - _SPAN, apart=_SPAN / (count + 1), make=_event)


def many_orders(count: int, *, now: datetime) -> ManyRows:
    """Return so many paid renewals of the last day."""
    return ManyRows(count=count, begin=now - _SPAN, apart=_SPAN / (count + 1), make=_order)


def many_attempts(count: int, *, now: datetime) -> ManyRows:
    """Return ``count`` attempts, each to deliver the webhook of one order."""
    return ManyRows(count=count, begin=now - _SPAN, apart=_SPAN / (count + 1), make=_attempt)


def _event(number: int, at: str) -> Row:
    order_id = _uuid(1, number)
    metadata = {
        "granted_by": "credit-granter",
        "key": f"credits:order:{order_id}:api_usage",
        "order_id": order_id,
        "rules": "pack",
        "units": -10,
    }
    row = {"id": _uuid(4, number), "name": "api_usage", "customer_id": _uuid(2, number), "timestamp": at}
    return {**row, "metadata": metadata, "source": "user"}


def _order(number: int, at: str) -> Row:
    customer_id = _uuid(2, number)
    sample = _sample()
    customer = {**sample["customer"], "id": customer_id}
    ids = {"id": _uuid(1, number), "customer_id": customer_id}
    return {**sample, **ids, "customer": customer, "created_at": at}


def _attempt(number: int, at: str) -> Row:
    body = json.dumps({"type": "order.paid", "timestamp": at, "data": _order(number, at)})
    event = {"id": _uuid(5, number), "created_at": at, "type": "order.paid", "payload": body}
    return {"id": _uuid(6, number), "created_at": at, "webhook_event": {**event, "succeeded": False}}


@cache
def _sample() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(read_sample("subscription_cycle"))["data"]
    return found


def _uuid(kind: int, number: int) -> str:
    return f"{number:08x}-0000-4000-800{kind}-{number:012x}"


def create_app(event_count: int, order_count: int) -> Starlette:
    """Return the application."""
    now = datetime.now(UTC)
    events, orders = many_events(event_count, now=now), many_orders(order_count, now=now)
    attempts = many_attempts(order_count, now=now)
    requests = Counter[str]()

    def list_(
        rows: ManyRows, bounds: tuple[str, str] = ("start_timestamp", "end_timestamp")
    ) -> Callable[[Request], Any]:
        async def answer(request: Request) -> JSONResponse:
            requests[f"{request.method} {request.url.path}"] += 1
            asked = request.query_params
            after, before = (asked.get(name) for name in bounds)
            is_reversed = asked.get("sorting", "-").startswith("-")
            page = rows.page(
                int(asked["page"]), int(asked["limit"]), after=after, before=before, newest_first=is_reversed
            )
            return JSONResponse(page)

        return answer

    async def ingest(request: Request) -> JSONResponse:
        requests[f"{request.method} {request.url.path}"] += 1
        return JSONResponse({"inserted": len((await request.json())["events"]), "duplicates": 0})

    async def tell(_request: Request) -> JSONResponse:
        return JSONResponse(requests)

    return Starlette(
        routes=[
            Route("/v1/events/", list_(events), methods=["GET"]),
            Route("/v1/webhooks/deliveries", list_(attempts), methods=["GET"]),
            Route("/v1/orders/", list_(orders, ("created_after", "created_before")), methods=["GET"]),
            Route("/v1/events/ingest", ingest, methods=["POST"]),
            Route("/requests", tell),
        ]
    )


if __name__ == "__main__":
    port, *counts = map(int, sys.argv[1:])
    uvicorn.run(create_app(*counts), host="127.0.0.1", port=port, log_level="warning", access_log=False)
