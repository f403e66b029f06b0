"""The stand-in's endpoints for orders, their disputes, and subscriptions."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import (
    DisputesQuery,
    OrdersQuery,
    SubscriptionsQuery,
    as_stored,
    is_any_of,
    is_between,
    parse_query,
    show,
)
from app.demo.polar.refusals import validate
from app.demo.polar.request_models import ById
from app.demo.polar.response_models import Dispute, Order, Subscription


async def list_orders(request: Request) -> Response:
    """List the orders, filtered by customer, product, subscription, status and time of creation."""
    polar = organization_of(request)
    authorize(request, polar, "orders:read")
    query = parse_query(request, OrdersQuery)
    found = (order for order in polar.orders.values() if _matches(order, query))
    return query.page_of(query.sort(found, lambda order: order.created_at), as_stored)


def _matches(order: Order, query: OrdersQuery) -> bool:
    return (
        is_any_of(query.status, order.status)
        and is_any_of(query.customer_id, order.customer_id)
        and is_any_of(query.product_id, order.product_id)
        and is_any_of(query.subscription_id, order.subscription_id)
        and is_between(query.created_after, order.created_at, query.created_before)
    )


async def get_order(request: Request) -> Response:
    """Show one order."""
    polar = organization_of(request)
    authorize(request, polar, "orders:read")
    wanted = validate(ById, request.path_params, "path").id
    return show(polar.orders.get(str(wanted)))


async def list_disputes(request: Request) -> Response:
    """List the disputes, filtered by order and status."""
    polar = organization_of(request)
    authorize(request, polar, "disputes:read", "disputes:write")
    query = parse_query(request, DisputesQuery)

    def matches(dispute: Dispute) -> bool:
        return is_any_of(query.status, dispute.status) and is_any_of(query.order_id, dispute.order_id)

    found = query.sort(filter(matches, polar.disputes), lambda dispute: dispute.created_at)
    return query.page_of(found, as_stored)


async def list_subscriptions(request: Request) -> Response:
    """List the subscriptions, filtered by customer, product and status."""
    polar = organization_of(request)
    authorize(request, polar, "subscriptions:read", "subscriptions:write")
    query = parse_query(request, SubscriptionsQuery)

    def matches(one: Subscription) -> bool:
        return (
            is_any_of(query.status, one.status)
            and is_any_of(query.customer_id, one.customer_id)
            and is_any_of(query.product_id, one.product_id)
        )

    found = query.sort(filter(matches, polar.subscriptions.values()), lambda one: one.started_at)
    return query.page_of(found, as_stored)


async def get_subscription(request: Request) -> Response:
    """Show one subscription."""
    polar = organization_of(request)
    authorize(request, polar, "subscriptions:read", "subscriptions:write")
    wanted = validate(ById, request.path_params, "path").id
    return show(polar.subscriptions.get(str(wanted)))
