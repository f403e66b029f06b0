"""The stand-in's endpoints for webhooks: the attempts to deliver them, and where they are sent."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import DeliveriesQuery, Query, as_stored, is_any_of, is_between, parse_query
from app.demo.polar.response_models import WebhookDelivery


async def list_deliveries(request: Request) -> Response:
    """List the attempts to deliver webhooks, newest first."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    query = parse_query(request, DeliveriesQuery)
    found = (attempt for attempt in polar.deliveries if _matches(attempt, query))
    return query.page_of(query.sort(found, lambda attempt: attempt.created_at), as_stored)


async def list_endpoints(request: Request) -> Response:
    """List the webhook endpoints."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    return parse_query(request, Query).page_of(polar.endpoints, as_stored)


def _matches(attempt: WebhookDelivery, query: DeliveriesQuery) -> bool:
    return (
        query.succeeded in {None, attempt.succeeded}
        and is_any_of(query.event_type, attempt.webhook_event.type)
        and is_between(query.start_timestamp, attempt.created_at, query.end_timestamp)
    )
