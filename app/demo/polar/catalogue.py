"""What the stand-in answers about the merchant's meters and products."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.door import authorize, nowhere, polar_of, read
from app.demo.polar.queries import Query, itself, query_of
from app.demo.polar.shapes import ById


async def list_meters(request: Request) -> Response:
    """List the meters."""
    polar = polar_of(request)
    authorize(request, polar, "meters:read", "meters:write")
    return query_of(request, Query).answer(list(polar.meters.values()), itself)


async def list_products(request: Request) -> Response:
    """List the products, newest first."""
    polar = polar_of(request)
    authorize(request, polar, "products:read", "products:write")
    rows = sorted(polar.products, key=lambda one: one.created_at, reverse=True)
    return query_of(request, Query).answer(rows, itself)


async def get_product(request: Request) -> Response:
    """Show one product."""
    polar = polar_of(request)
    authorize(request, polar, "products:read", "products:write")
    wanted = read(ById, request.path_params, "path").id
    for product in polar.products:
        if product.id == wanted:
            return JSONResponse(product.model_dump(mode="json"))
    raise nowhere()
