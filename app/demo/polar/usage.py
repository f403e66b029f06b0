"""The stand-in's endpoints for usage: ingest events, list them, list and sum what they add up to."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.organization import IngestAttempt, Polar, StatementTooLargeError, StoredEvent
from app.demo.polar.queries import (
    BalancesQuery,
    EventsQuery,
    QuantitiesQuery,
    as_stored,
    is_any_of,
    is_between,
    parse_query,
    show,
)
from app.demo.polar.refusals import RefusalError, invalid, not_found, parse_json, validate
from app.demo.polar.request_models import ById, EventsIngest
from app.demo.polar.response_models import Meter, Quantities, Quantity, UserEvent, now


async def ingest(request: Request) -> Response:
    """Store a batch of events, unless the next fault decides otherwise."""
    polar, arrived, body = organization_of(request), now(), await request.body()

    def answer() -> Response:
        return _ingest(request, polar, body)

    response = await polar.faults.popleft()(answer) if polar.faults else answer()
    attempt = IngestAttempt(at=arrived, events=_events_in(body), status=response.status_code)
    polar.received.append(attempt)
    return response


def _ingest(request: Request, polar: Polar, body: bytes) -> Response:
    try:
        authorize(request, polar, "events:write")
        batch = validate(EventsIngest, parse_json(body), "body").events
        # Last: Polar reports unknown customers only if the batch is otherwise valid.
        if unknown := polar.unknown_customers(batch):
            raise _unknown_customers(unknown)
        return JSONResponse(polar.ingest(batch))
    except RefusalError as refusal:
        return refusal.response
    except StatementTooLargeError:
        return PlainTextResponse("Internal Server Error", 500, {"connection": "close"})


def _unknown_customers(customers: dict[int, str]) -> RefusalError:
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
    """List the ingested events, filtered by name, customer, source, time and ``metadata[<key>]``."""
    polar = organization_of(request)
    authorize(request, polar, "events:read", "events:write")
    query = parse_query(request, EventsQuery)
    metadata = _metadata_filter(request)
    found = (
        event for event in polar.listed() if _matches(polar, event, query) and _has_metadata(event, metadata)
    )

    def to_model(event: StoredEvent) -> UserEvent:
        return event.to_model(polar.owner(event))

    return query.page_of(query.sort(found, lambda event: event.timestamp), to_model)


def _matches(polar: Polar, event: StoredEvent, query: EventsQuery) -> bool:
    owner = polar.owner(event)
    return (
        is_any_of(query.name, event.sent["name"])
        and is_any_of(query.customer_id, owner.id if owner else None)
        and is_any_of(query.source, "user")
        and is_between(query.start_timestamp, event.timestamp, query.end_timestamp)
    )


def _metadata_filter(request: Request) -> dict[str, list[str]]:
    params = request.query_params
    return {
        name.removeprefix("metadata[").removesuffix("]"): params.getlist(name)
        for name in params
        if name.startswith("metadata[")
    }


def _has_metadata(event: StoredEvent, wanted: dict[str, list[str]]) -> bool:
    """Return whether the event has one of the wanted values, compared as text, under every key."""
    return all(
        key in event.metadata and _as_text(event.metadata[key]) in values for key, values in wanted.items()
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def list_customer_meters(request: Request) -> Response:
    """List the balances; a customer has none on a meter before its first event."""
    polar = organization_of(request)
    authorize(request, polar, "customer_meters:read")
    query = parse_query(request, BalancesQuery)
    rows = [
        row
        for customer in polar.customers.values()
        if is_any_of(query.customer_id, customer.id)
        for meter in polar.meters.values()
        if (row := polar.customer_meter(customer, meter))
    ]
    return query.page_of(rows, as_stored)


async def sum_quantities(request: Request) -> Response:
    """Sum the events that a meter counts, for each calendar year and in all."""
    polar = organization_of(request)
    authorize(request, polar, "meters:read", "meters:write")
    query = parse_query(request, QuantitiesQuery)
    wanted = validate(ById, request.path_params, "path").id
    meter = next((meter for meter in polar.meters.values() if meter.id == wanted), None)
    if meter is None:
        raise not_found()
    return show(_quantities(polar, meter, query))


def _quantities(polar: Polar, meter: Meter, query: QuantitiesQuery) -> Quantities:
    events = [event for event in polar.stored if meter.counts(event.sent["name"])]
    events = [event for event in events if _is_summed(polar, event, query)]
    years = range(query.start_timestamp.year, query.end_timestamp.year + 1)
    return Quantities(
        quantities=[
            Quantity(
                timestamp=datetime(year, 1, 1, tzinfo=UTC),
                quantity=meter.sum(event.metadata for event in events if event.timestamp.year == year),
            )
            for year in years
        ],
        total=meter.sum(event.metadata for event in events),
    )


def _is_summed(polar: Polar, event: StoredEvent, query: QuantitiesQuery) -> bool:
    owner = polar.owner(event)
    return is_any_of(query.customer_id, owner.id if owner else None) and (
        query.start_timestamp <= event.timestamp <= query.end_timestamp
    )
