"""The stand-in's endpoints for customers: list them, show one by either of its ids, create one."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.demo.polar.access import authorize, organization_of
from app.demo.polar.organization import Polar
from app.demo.polar.queries import CustomersQuery, as_stored, parse_query, show
from app.demo.polar.refusals import invalid, parse_json, validate
from app.demo.polar.request_models import ById, CustomerCreate
from app.demo.polar.response_models import Customer


async def list_customers(request: Request) -> Response:
    """List the customers, newest first, or only the one with the e-mail address; its case is ignored."""
    polar = organization_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    query = parse_query(request, CustomersQuery)
    found = (c for c in polar.customers.values() if query.email is None or _same(c.email, query.email))
    return query.page_of(sorted(found, key=lambda one: one.created_at)[::-1], as_stored)


async def get_customer(request: Request) -> Response:
    """Show one customer by Polar's id."""
    polar = organization_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    return show(_by_id(request, polar))


async def get_external_customer(request: Request) -> Response:
    """Show one customer by the merchant's id."""
    polar = organization_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    return show(_by_external_id(request, polar))


async def get_state(request: Request) -> Response:
    """Show a customer's state by Polar's id."""
    polar = organization_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    found = _by_id(request, polar)
    return show(found and polar.state_of(found))


async def get_external_state(request: Request) -> Response:
    """Show a customer's state by the merchant's id."""
    polar = organization_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    found = _by_external_id(request, polar)
    return show(found and polar.state_of(found))


def _by_id(request: Request, polar: Polar) -> Customer | None:
    return polar.customers.get(str(validate(ById, request.path_params, "path").id))


def _by_external_id(request: Request, polar: Polar) -> Customer | None:
    wanted = request.path_params["external_id"]
    return next((c for c in polar.customers.values() if c.external_id == wanted), None)


async def create_customer(request: Request) -> Response:
    """Create a customer; its e-mail address and external id must not be another's."""
    polar = organization_of(request)
    authorize(request, polar, "customers:write")
    create = validate(CustomerCreate, parse_json(await request.body()), "body", "individual")
    if conflicts := _find_conflicts(polar, create):
        raise invalid(conflicts, "PolarRequestValidationError")
    return show(polar.add_customer(**create.model_dump()), status=201)


def _find_conflicts(polar: Polar, create: CustomerCreate) -> list[dict[str, Any]]:
    """Return a 422 entry for each field whose value another customer already has."""
    others = polar.customers.values()
    conflicts = []
    if any(_same(other.email, create.email) for other in others):
        conflicts.append(_conflict("email", "email address", create.email))
    if create.external_id is not None and any(o.external_id == create.external_id for o in others):
        conflicts.append(_conflict("external_id", "external ID", create.external_id))
    return conflicts


def _conflict(field: str, label: str, value: str) -> dict[str, Any]:
    message = f"A customer with this {label} already exists."
    return {"type": "value_error", "loc": ["body", field], "msg": message, "input": value}


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
