"""The stand-in's endpoint for orders."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import OrdersQuery, as_stored, is_any_of, is_between, parse_query
from app.demo.polar.response_models import Order


async def list_orders(request: Request) -> Response:
    """List the orders, filtered by customer, product, subscription, status and time of creation."""
    polar = organization_of(request)
    authorize(request, polar, "orders:read")
    query = parse_query(request, OrdersQuery)
    found = (order for order in polar.orders.values() if _matches(order, query))
    oldest_first = sorted(found, key=lambda order: order.created_at)
    return query.page_of(oldest_first[::-1] if query.sorting == "-created_at" else oldest_first, as_stored)


def _matches(order: Order, query: OrdersQuery) -> bool:
    return (
        is_any_of(query.status, order.status)
        and is_any_of(query.customer_id, order.customer_id)
        and is_any_of(query.product_id, order.product_id)
        and is_any_of(query.subscription_id, order.subscription_id)
        and is_between(query.created_after, order.created_at, query.created_before)
    )
