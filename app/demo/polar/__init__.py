"""A stand-in for the Polar API, for the demo and the tests: its paths.

It behaves as an unmodified Polar server of 2026-08 was read and seen to behave, as far as this
project asks anything of it; ``tests/responses`` holds recorded answers, and a test compares. On
purpose it differs in one thing: the real balances follow an ingest by some 16 seconds, these at once.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from app.demo.polar import catalogue, customers, past, usage
from app.demo.polar.door import INGEST, Gate, RefusalError, turn_away
from app.demo.polar.faults import (
    CommitThenBreak,
    CommitThenWait,
    Fault,
    Garbage,
    RateLimited,
    Slow,
    Status,
)
from app.demo.polar.history import Order, WebhookDelivery
from app.demo.polar.records import Customer, Meter, Product
from app.demo.polar.state import Polar, Received

__all__ = [
    "CommitThenBreak",
    "CommitThenWait",
    "Customer",
    "Fault",
    "Garbage",
    "Meter",
    "Order",
    "Polar",
    "Product",
    "RateLimited",
    "Received",
    "Slow",
    "Status",
    "WebhookDelivery",
    "create_app",
]


def create_app(polar: Polar) -> Starlette:
    """Return the API of one organization, whose state the caller keeps."""
    app = Starlette(
        routes=[
            Route(INGEST, usage.ingest, methods=["POST"]),
            Route("/v1/events/", usage.list_events),
            Route("/v1/customer-meters/", usage.list_customer_meters),
            Route("/v1/meters/", catalogue.list_meters),
            Route("/v1/products/", catalogue.list_products),
            Route("/v1/products/{id}", catalogue.get_product),
            Route("/v1/customers/", customers.list_customers),
            Route("/v1/customers/", customers.create_customer, methods=["POST"]),
            Route("/v1/customers/{id}", customers.get_customer),
            Route("/v1/customers/external/{external_id}", customers.get_external_customer),
            Route("/v1/orders/", past.list_orders),
            Route("/v1/webhooks/deliveries", past.list_deliveries),
        ],
        middleware=[Middleware(Gate, polar=polar)],
        exception_handlers={RefusalError: turn_away, HTTPException: turn_away},
    )
    app.state.polar = polar
    return app
