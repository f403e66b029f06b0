"""What the stand-in answers about the past: orders, and attempts to deliver webhooks."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.door import authorize, polar_of
from app.demo.polar.history import Order, WebhookDelivery
from app.demo.polar.queries import (
    DeliveriesQuery,
    OrdersQuery,
    between,
    itself,
    query_of,
    wanted,
)


async def list_orders(request: Request) -> Response:
    """List the orders by what they are of, their status and when they were created."""
    polar = polar_of(request)
    authorize(request, polar, "orders:read")
    query = query_of(request, OrdersQuery)
    found = (order for order in polar.orders.values() if _is_wanted(order, query))
    oldest_first = sorted(found, key=lambda order: order.created_at)
    return query.answer(oldest_first[::-1] if query.sorting == "-created_at" else oldest_first, itself)


def _is_wanted(order: Order, query: OrdersQuery) -> bool:
    return (
        wanted(query.status, order.status)
        and wanted(query.customer_id, order.customer_id)
        and wanted(query.product_id, order.product_id)
        and wanted(query.subscription_id, order.subscription_id)
        and between(query.created_after, order.created_at, query.created_before)
    )


async def list_deliveries(request: Request) -> Response:
    """List the attempts to deliver webhooks, newest first."""
    polar = polar_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    query = query_of(request, DeliveriesQuery)
    found = (attempt for attempt in polar.deliveries if _is_asked_for(attempt, query))
    return query.answer(sorted(found, key=lambda attempt: attempt.created_at)[::-1], itself)


def _is_asked_for(attempt: WebhookDelivery, query: DeliveriesQuery) -> bool:
    return (
        query.succeeded in {None, attempt.succeeded}
        and wanted(query.event_type, attempt.webhook_event.type)
        and between(query.start_timestamp, attempt.created_at, query.end_timestamp)
    )
