"""The table of the API's operations. Routes and the OpenAPI description are both made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.api.answers import Answer, OrderAnswer
from app.api.errors import ApiError, InvalidRequestError, UnauthorizedError, UnavailableError
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
    """What a method does on a path, and everything that it answers."""

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

OPERATIONS = (GET_ORDER,)
