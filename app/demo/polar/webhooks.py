"""The stand-in's endpoint for webhook deliveries: the attempts to deliver a webhook."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import DeliveriesQuery, as_stored, is_any_of, is_between, parse_query
from app.demo.polar.response_models import WebhookDelivery


async def list_deliveries(request: Request) -> Response:
    """List the attempts to deliver webhooks, newest first."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    query = parse_query(request, DeliveriesQuery)
    found = (attempt for attempt in polar.deliveries if _matches(attempt, query))
    return query.page_of(sorted(found, key=lambda attempt: attempt.created_at)[::-1], as_stored)


def _matches(attempt: WebhookDelivery, query: DeliveriesQuery) -> bool:
    return (
        query.succeeded in {None, attempt.succeeded}
        and is_any_of(query.event_type, attempt.webhook_event.type)
        and is_between(query.start_timestamp, attempt.created_at, query.end_timestamp)
    )
