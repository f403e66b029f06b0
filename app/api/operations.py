"""The table of the API's operations. Routes and the OpenAPI description are both made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.api.answers import Answer, CustomerAnswer, OrderAnswer
from app.api.customers import LONGEST_EXTERNAL_ID
from app.api.errors import (
    ApiError,
    InvalidRequestError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from app.api.orders import LONGEST_WAIT_SECONDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A parameter in the path or in the query."""

    name: str
    place: str
    """``path`` or ``query``."""
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A method on a path, with its parameters and all its answers."""

    name: str
    method: str
    path: str
    summary: str
    parameters: Sequence[Parameter]
    answers: Mapping[int, tuple[type[Answer], str]]
    """The body of each successful answer, and when it is given, by its status."""
    errors: Sequence[type[ApiError]] = field(
        default=(InvalidRequestError, UnauthorizedError, UnavailableError)
    )


_ORDER_ID = Parameter(
    name="order_id",
    place="path",
    schema={"type": "string", "format": "uuid"},
    description="The order's id at Polar.",
)
_WAIT = Parameter(
    name="wait",
    place="query",
    schema={"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 0},
    description="How many seconds to hold the answer until the order is settled, also while it is unknown.",
)

GET_ORDER = Operation(
    name="get_order",
    method="GET",
    path="/v1/orders/{order_id}",
    summary="Whether an order was credited",
    parameters=(_ORDER_ID, _WAIT),
    answers={200: (OrderAnswer, "How far the order's credits have come.")},
)

_CUSTOMER_ID = Parameter(
    name="customer_id",
    place="path",
    schema={"type": "string", "format": "uuid"},
    description="The customer's id at Polar.",
)
_EXTERNAL_ID = Parameter(
    name="external_id",
    place="path",
    schema={"type": "string", "minLength": 1, "maxLength": LONGEST_EXTERNAL_ID},
    description="The customer's id in the storefront. An id with a slash cannot be requested.",
)
_CREDITS = {200: (CustomerAnswer, "What the customer has, at most five seconds old if Polar can be asked.")}
_CREDITS_ERRORS = (InvalidRequestError, UnauthorizedError, NotFoundError, UnavailableError)

GET_CREDITS = Operation(
    name="get_customer_credits",
    method="GET",
    path="/v1/customers/{customer_id}/credits",
    summary="What a customer has left",
    parameters=(_CUSTOMER_ID,),
    answers=_CREDITS,
    errors=_CREDITS_ERRORS,
)
GET_EXTERNAL_CREDITS = Operation(
    name="get_external_customer_credits",
    method="GET",
    path="/v1/customers/external/{external_id}/credits",
    summary="What a customer has left, by the storefront's own id",
    parameters=(_EXTERNAL_ID,),
    answers=_CREDITS,
    errors=_CREDITS_ERRORS,
)

OPERATIONS = (GET_ORDER, GET_CREDITS, GET_EXTERNAL_CREDITS)
