"""What the stand-in answers about usage: events taken in and read back, and the balances they make."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.demo.polar.door import RefusalError, authorize, invalid, parse_json, polar_of, read
from app.demo.polar.queries import BalancesQuery, EventsQuery, between, itself, query_of, wanted
from app.demo.polar.records import UserEvent, now
from app.demo.polar.shapes import EventsIngest
from app.demo.polar.state import Polar, Received, StatementTooLargeError, Stored


async def ingest(request: Request) -> Response:
    """Take a batch of events, or meet the next fault."""
    polar, arrived, body = polar_of(request), now(), await request.body()

    def answer() -> Response:
        return _ingested(request, polar, body)

    response = await polar.faults.popleft()(answer) if polar.faults else answer()
    attempt = Received(at=arrived, events=_events_in(body), status=response.status_code)
    polar.received.append(attempt)
    return response


def _ingested(request: Request, polar: Polar, body: bytes) -> Response:
    try:
        authorize(request, polar, "events:write")
        batch = read(EventsIngest, parse_json(body), "body").events
        # Only now that every shape is right: shape errors hide customer errors.
        if unknown := polar.unknown_customers(batch):
            raise _unknown(unknown)
        return JSONResponse(polar.ingest(batch))
    except RefusalError as refusal:
        return refusal.response
    except StatementTooLargeError:
        return PlainTextResponse("Internal Server Error", 500, {"connection": "close"})


def _unknown(customers: dict[int, str]) -> RefusalError:
    detail = [
        {
            "type": "customer_id",
            "loc": ["body", "events", place, "customer_id"],
            "msg": "Customer not found.",
            "input": customer_id,
        }
        for place, customer_id in customers.items()
    ]
    return invalid(detail, "PolarRequestValidationError")


def _events_in(body: bytes) -> Sequence[Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return ()
    match content:
        case {"events": [*events]}:
            return events
    return ()


async def list_events(request: Request) -> Response:
    """List the ingested events by name, customer, source, time and ``metadata[<key>]``."""
    polar = polar_of(request)
    authorize(request, polar, "events:read", "events:write")
    query = query_of(request, EventsQuery)
    metadata = _metadata_asked_for(request)
    found = (event for event in polar.stored if _matches(polar, event, query) and _has(event, metadata))
    oldest_first = sorted(found, key=lambda event: event.timestamp)

    def show(event: Stored) -> UserEvent:
        return event.shown(polar.owner(event))

    return query.answer(oldest_first[::-1] if query.sorting == "-timestamp" else oldest_first, show)


def _matches(polar: Polar, event: Stored, query: EventsQuery) -> bool:
    owner = polar.owner(event)
    return (
        wanted(query.name, event.sent["name"])
        and wanted(query.customer_id, owner.id if owner else None)
        and wanted(query.source, "user")
        and between(query.start_timestamp, event.timestamp, query.end_timestamp)
    )


def _metadata_asked_for(request: Request) -> dict[str, list[str]]:
    asked = request.query_params
    return {
        name.removeprefix("metadata[").removesuffix("]"): asked.getlist(name)
        for name in asked
        if name.startswith("metadata[")
    }


def _has(event: Stored, metadata: dict[str, list[str]]) -> bool:
    """Say whether every key has one of its values, which are compared as texts."""
    return all(
        key in event.metadata and _as_text(event.metadata[key]) in values for key, values in metadata.items()
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def list_customer_meters(request: Request) -> Response:
    """List balances; a customer has none on a meter before the first event there."""
    polar = polar_of(request)
    authorize(request, polar, "customer_meters:read")
    query = query_of(request, BalancesQuery)
    rows = [
        row
        for customer in polar.customers.values()
        if wanted(query.customer_id, customer.id)
        for meter in polar.meters.values()
        if (row := polar.customer_meter(customer, meter))
    ]
    return query.answer(rows, itself)
