"""What the stand-in answers about customers: found by three kinds of name, and created."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.door import authorize, invalid, nowhere, parse_json, polar_of, read
from app.demo.polar.queries import CustomersQuery, itself, query_of
from app.demo.polar.records import Customer
from app.demo.polar.shapes import ById, CustomerCreate
from app.demo.polar.state import Polar


async def list_customers(request: Request) -> Response:
    """List the customers, newest first, or whose e-mail address it is; its case does not matter."""
    polar = polar_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    query = query_of(request, CustomersQuery)
    found = (c for c in polar.customers.values() if query.email is None or _same(c.email, query.email))
    return query.answer(sorted(found, key=lambda one: one.created_at)[::-1], itself)


async def get_customer(request: Request) -> Response:
    """Show one customer by Polar's id."""
    polar = polar_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    wanted = read(ById, request.path_params, "path").id
    return _shown(polar.customers.get(str(wanted)))


async def get_external_customer(request: Request) -> Response:
    """Show one customer by the merchant's id."""
    polar = polar_of(request)
    authorize(request, polar, "customers:read", "customers:write")
    wanted = request.path_params["external_id"]
    return _shown(next((c for c in polar.customers.values() if c.external_id == wanted), None))


async def create_customer(request: Request) -> Response:
    """Create a customer, whose e-mail address and external id nobody else may have."""
    polar = polar_of(request)
    authorize(request, polar, "customers:write")
    create = read(CustomerCreate, parse_json(await request.body()), "body", "individual")
    if problems := _taken(polar, create):
        raise invalid(problems, "PolarRequestValidationError")
    customer = polar.add_customer(**create.model_dump())
    return JSONResponse(customer.model_dump(mode="json"), 201)


def _shown(customer: Customer | None) -> Response:
    if customer is None:
        raise nowhere()
    return JSONResponse(customer.model_dump(mode="json"))


def _taken(polar: Polar, create: CustomerCreate) -> list[dict[str, Any]]:
    """Return the problems of what another customer has."""
    others = polar.customers.values()
    problems = []
    if any(_same(other.email, create.email) for other in others):
        problems.append(_problem("email", "email address", create.email))
    if create.external_id is not None and any(o.external_id == create.external_id for o in others):
        problems.append(_problem("external_id", "external ID", create.external_id))
    return problems


def _problem(field: str, what: str, value: str) -> dict[str, Any]:
    words = f"A customer with this {what} already exists."
    return {"type": "value_error", "loc": ["body", field], "msg": words, "input": value}


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
