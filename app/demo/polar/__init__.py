"""A stand-in for the Polar API, for the demo and the tests.

It covers the endpoints that this project uses. It imitates an unmodified Polar server of August 2026, from
its source code and its responses; a test compares it with the responses recorded in ``tests/responses``.
It differs on purpose in one way: balances change at once after an ingest, whereas Polar takes some 16
seconds. It sends no webhooks.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from app.demo.polar import catalogue, customers, orders, usage, webhooks
from app.demo.polar.access import INGEST, RequestGate
from app.demo.polar.faults import (
    CommitThenBreak,
    CommitThenWait,
    Fault,
    Garbage,
    RateLimited,
    Slow,
    Status,
)
from app.demo.polar.organization import IngestAttempt, Polar
from app.demo.polar.product_models import Product
from app.demo.polar.refusals import RefusalError, respond_to_error
from app.demo.polar.response_models import (
    Customer,
    Dispute,
    Meter,
    Order,
    Subscription,
    WebhookDelivery,
    WebhookEndpoint,
)

__all__ = [
    "CommitThenBreak",
    "CommitThenWait",
    "Customer",
    "Dispute",
    "Fault",
    "Garbage",
    "IngestAttempt",
    "Meter",
    "Order",
    "Polar",
    "Product",
    "RateLimited",
    "Slow",
    "Status",
    "Subscription",
    "WebhookDelivery",
    "WebhookEndpoint",
    "create_app",
]


def create_app(polar: Polar) -> Starlette:
    """Return the API of one organization as an ASGI application; ``polar`` holds all its state."""
    app = Starlette(
        routes=[
            Route(INGEST, usage.ingest, methods=["POST"]),
            Route("/v1/events/", usage.list_events),
            Route("/v1/customer-meters/", usage.list_customer_meters),
            Route("/v1/meters/", catalogue.list_meters),
            Route("/v1/meters/", catalogue.create_meter, methods=["POST"]),
            Route("/v1/meters/{id}/quantities", usage.sum_quantities),
            Route("/v1/products/", catalogue.list_products),
            Route("/v1/products/{id}", catalogue.get_product),
            Route("/v1/customers/", customers.list_customers),
            Route("/v1/customers/", customers.create_customer, methods=["POST"]),
            Route("/v1/customers/{id}", customers.get_customer),
            Route("/v1/customers/{id}/state", customers.get_state),
            Route("/v1/customers/external/{external_id}", customers.get_external_customer),
            Route("/v1/customers/external/{external_id}/state", customers.get_external_state),
            Route("/v1/orders/", orders.list_orders),
            Route("/v1/orders/{id}", orders.get_order),
            Route("/v1/disputes/", orders.list_disputes),
            Route("/v1/subscriptions/", orders.list_subscriptions),
            Route("/v1/subscriptions/{id}", orders.get_subscription),
            Route("/v1/webhooks/endpoints", webhooks.list_endpoints),
            Route("/v1/webhooks/endpoints", webhooks.create_endpoint, methods=["POST"]),
            Route("/v1/webhooks/endpoints/{id}", webhooks.update_endpoint, methods=["PATCH"]),
            Route("/v1/webhooks/deliveries", webhooks.list_deliveries),
        ],
        middleware=[Middleware(RequestGate, polar=polar)],
        exception_handlers={RefusalError: respond_to_error, HTTPException: respond_to_error},
    )
    app.state.polar = polar
    return app
