"""The stand-in's endpoints for meters and products."""

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.queries import Query, as_stored, parse_query, show
from app.demo.polar.refusals import parse_json, validate
from app.demo.polar.request_models import ById, MeterCreate


async def list_meters(request: Request) -> Response:
    """List the meters."""
    polar = organization_of(request)
    authorize(request, polar, "meters:read", "meters:write")
    return parse_query(request, Query).page_of(list(polar.meters.values()), as_stored)


async def create_meter(request: Request) -> Response:
    """Create a meter."""
    polar = organization_of(request)
    authorize(request, polar, "meters:write")
    create = validate(MeterCreate, parse_json(await request.body()), "body")
    return show(polar.add_meter(**create.model_dump()), status=201)


async def list_products(request: Request) -> Response:
    """List the products, newest first."""
    polar = organization_of(request)
    authorize(request, polar, "products:read", "products:write")
    rows = sorted(polar.products, key=lambda one: one.created_at, reverse=True)
    return parse_query(request, Query).page_of(rows, as_stored)


async def get_product(request: Request) -> Response:
    """Show one product."""
    polar = organization_of(request)
    authorize(request, polar, "products:read", "products:write")
    wanted = validate(ById, request.path_params, "path").id
    return show(next((product for product in polar.products if product.id == wanted), None))
