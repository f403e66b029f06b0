"""A stand-in for the Polar API, for the demo and the tests: what each of its paths answers.

It behaves as an unmodified Polar server of 2026-08 was read and seen to behave, as far as this
project asks anything of it; ``tests/responses`` holds recorded answers, and a test compares. On
purpose it differs in one thing: the real balances follow an ingest by some 16 seconds, these at once.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.demo.polar.door import (
    INGEST,
    Gate,
    RefusalError,
    authorize,
    invalid,
    parse_json,
    read,
    turn_away,
)
from app.demo.polar.faults import CommitThenBreak, Fault, Garbage, RateLimited, Slow, Status
from app.demo.polar.records import Customer, Meter, Product, UserEvent, now
from app.demo.polar.shapes import ById, CustomerCreate, EventsIngest, Paging
from app.demo.polar.state import Polar, Received, StatementTooLargeError, Stored

__all__ = [
    "CommitThenBreak",
    "Customer",
    "Fault",
    "Garbage",
    "Meter",
    "Polar",
    "Product",
    "RateLimited",
    "Received",
    "Slow",
    "Status",
    "create_app",
]

Row = TypeVar("Row")


def create_app(polar: Polar) -> Starlette:
    """Return the API of one organization, whose state the caller keeps."""
    app = Starlette(
        routes=[
            Route(INGEST, _ingest, methods=["POST"]),
            Route("/v1/events/", _list_events),
            Route("/v1/meters/", _list_meters),
            Route("/v1/products/", _list_products),
            Route("/v1/products/{id}", _get_product),
            Route("/v1/customer-meters/", _list_customer_meters),
            Route("/v1/customers/", _list_customers),
            Route("/v1/customers/", _create_customer, methods=["POST"]),
            Route("/v1/customers/{id:uuid}", _get_customer),
            Route("/v1/customers/external/{external_id}", _get_customer),
        ],
        middleware=[Middleware(Gate, polar=polar)],
        exception_handlers={RefusalError: turn_away, HTTPException: turn_away},
    )
    app.state.polar = polar
    return app


async def _ingest(request: Request) -> Response:
    """Take a batch of events, or meet the next fault."""
    polar, arrived, body = _polar(request), now(), await request.body()

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


async def _list_events(request: Request) -> Response:
    """List the ingested events, newest first, by name, customer and ``metadata[<key>]``."""
    polar = _polar(request)
    authorize(request, polar, "events:read", "events:write")
    rows = [event for event in reversed(polar.stored) if _wanted(request, polar, event)]

    def show(event: Stored) -> UserEvent:
        return event.shown(polar.owner(event))

    return _page(request, rows, show)


def _wanted(request: Request, polar: Polar, event: Stored) -> bool:
    owner = polar.owner(event)
    return (
        _asked_for(request, "name", event.sent["name"])
        and _asked_for(request, "customer_id", str(owner.id) if owner else "")
        and all(
            str(event.metadata.get(name[len("metadata[") : -1])) == value
            for name, value in request.query_params.multi_items()
            if name.startswith("metadata[")
        )
    )


async def _list_meters(request: Request) -> Response:
    polar = _polar(request)
    authorize(request, polar, "meters:read", "meters:write")
    return _page(request, list(polar.meters.values()), _itself)


async def _list_products(request: Request) -> Response:
    """List the products, newest first."""
    polar = _polar(request)
    authorize(request, polar, "products:read", "products:write")
    return _page(request, sorted(polar.products, key=lambda one: one.created_at, reverse=True), _itself)


async def _get_product(request: Request) -> Response:
    polar = _polar(request)
    authorize(request, polar, "products:read", "products:write")
    wanted = read(ById, request.path_params, "path").id
    for product in polar.products:
        if product.id == wanted:
            return JSONResponse(product.model_dump(mode="json"))
    raise _nowhere()


async def _list_customer_meters(request: Request) -> Response:
    """List balances; a customer has none on a meter before the first event there."""
    polar = _polar(request)
    authorize(request, polar, "customer_meters:read")
    rows = [
        row
        for customer in polar.customers.values()
        if _asked_for(request, "customer_id", str(customer.id))
        for meter in polar.meters.values()
        if (row := polar.customer_meter(customer, meter))
    ]
    return _page(request, rows, _itself)


async def _list_customers(request: Request) -> Response:
    polar = _polar(request)
    authorize(request, polar, "customers:read", "customers:write")
    rows = [c for c in polar.customers.values() if _asked_for(request, "email", c.email)]
    return _page(request, rows, _itself)


async def _get_customer(request: Request) -> Response:
    """Show one customer, by Polar's id or the merchant's."""
    polar = _polar(request)
    authorize(request, polar, "customers:read", "customers:write")
    ((field, value),) = request.path_params.items()
    for customer in polar.customers.values():
        if getattr(customer, field) == value:
            return JSONResponse(customer.model_dump(mode="json"))
    raise _nowhere()


async def _create_customer(request: Request) -> Response:
    polar = _polar(request)
    authorize(request, polar, "customers:write")
    create = read(CustomerCreate, parse_json(await request.body()), "body", "individual")
    customer = polar.add_customer(**create.model_dump())
    return JSONResponse(customer.model_dump(mode="json"), 201)


def _nowhere() -> RefusalError:
    return RefusalError(404, {"error": "ResourceNotFound", "detail": "Not found"})


def _polar(request: Request) -> Polar:
    polar: Polar = request.app.state.polar
    return polar


def _asked_for(request: Request, parameter: str, value: str) -> bool:
    wanted = request.query_params.getlist(parameter)
    return not wanted or value in wanted


def _itself(record: BaseModel) -> BaseModel:
    return record


def _page(request: Request, rows: Sequence[Row], show: Callable[[Row], BaseModel]) -> Response:
    paging = read(Paging, dict(request.query_params), "query")
    return JSONResponse(paging.envelope(rows, show))
