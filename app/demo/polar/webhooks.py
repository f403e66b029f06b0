"""The stand-in's endpoints for webhooks: the attempts to deliver them, and where they are sent."""

import base64
import secrets

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import (
    DeliveriesQuery,
    Query,
    as_stored,
    is_any_of,
    is_between,
    parse_query,
    show,
)
from app.demo.polar.refusals import not_found, parse_json, validate
from app.demo.polar.request_models import ById, EndpointCreate, EndpointUpdate
from app.demo.polar.response_models import WebhookDelivery

_SECRET_BYTES = 24


async def list_deliveries(request: Request) -> Response:
    """List the attempts to deliver webhooks, newest first."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    query = parse_query(request, DeliveriesQuery)
    found = (attempt for attempt in polar.deliveries if _matches(attempt, query))
    return query.page_of(query.sort(found, lambda attempt: attempt.created_at), as_stored)


async def list_endpoints(request: Request) -> Response:
    """List the webhook endpoints, newest first, each with its secret."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:read", "webhooks:write")
    rows = sorted(polar.endpoints, key=lambda one: one.created_at, reverse=True)
    return parse_query(request, Query).page_of(rows, as_stored)


async def create_endpoint(request: Request) -> Response:
    """Create a webhook endpoint; Polar makes the secret."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:write")
    create = validate(EndpointCreate, parse_json(await request.body()), "body")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    return show(polar.add_endpoint(secret=secret, **create.model_dump(mode="json")), status=201)


async def update_endpoint(request: Request) -> Response:
    """Change those fields of a webhook endpoint that are sent."""
    polar = organization_of(request)
    authorize(request, polar, "webhooks:write")
    wanted = validate(ById, request.path_params, "path").id
    update = validate(EndpointUpdate, parse_json(await request.body()), "body")
    endpoint = next((one for one in polar.endpoints if one.id == wanted), None)
    if endpoint is None:
        raise not_found()
    return show(polar.change_endpoint(endpoint, **update.model_dump(mode="json", exclude_none=True)))


def _matches(attempt: WebhookDelivery, query: DeliveriesQuery) -> bool:
    return (
        query.succeeded in {None, attempt.succeeded}
        and is_any_of(query.event_type, attempt.webhook_event.type)
        and is_between(query.start_timestamp, attempt.created_at, query.end_timestamp)
    )
