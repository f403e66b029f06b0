"""The table of the API's operations. Routes and the OpenAPI description are both made from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from pydantic import BaseModel

from app.api.answers import (
    Answer,
    CustomerAnswer,
    GivenOfferAnswer,
    OfferAnswer,
    OrderAnswer,
    WaitingOfferAnswer,
)
from app.api.errors import (
    ApiError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    NotOfferedError,
    UnauthorizedError,
    UnavailableError,
)
from app.api.offers import OfferBody
from app.api.orders import LONGEST_WAIT_SECONDS
from workers.core.customers import EXTERNAL_ID, LONGEST_EXTERNAL_ID


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter in the path or in the query."""

    name: str
    place: str
    """``path`` or ``query``."""
    schema: Mapping[str, Any]
    description: str
    example: str | int


class Operation(Struct, frozen=True, kw_only=True):
    """A method on a path, with its parameters and all its answers."""

    name: str
    method: str
    path: str
    summary: str
    parameters: Sequence[Parameter]
    answers: Sequence[type[Answer]]
    """The body of each successful answer. Each has a status of its own, and says when it is given."""
    body: type[BaseModel] | None = None
    errors: Sequence[type[ApiError]] = field(
        default=(InvalidRequestError, UnauthorizedError, UnavailableError)
    )


_ORDER_ID = Parameter(
    name="order_id",
    place="path",
    schema={"type": "string", "format": "uuid"},
    description="The order's id at Polar.",
    example="2a9bd3c2-84d9-4be8-9a3d-b03af1044217",
)
_WAIT = Parameter(
    name="wait",
    place="query",
    schema={"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 0},
    description="How many seconds to hold the answer until the order is settled, also while it is unknown.",
    example=10,
)

GET_ORDER = Operation(
    name="get_order",
    method="GET",
    path="/v1/orders/{order_id}",
    summary="Whether an order was credited",
    parameters=(_ORDER_ID, _WAIT),
    answers=(OrderAnswer,),
)

_CUSTOMER_ID = Parameter(
    name="customer_id",
    place="path",
    schema={"type": "string", "format": "uuid"},
    description="The customer's id at Polar.",
    example="2be1e608-32d5-4adb-aa15-bf61ea0cfb0b",
)
_EXTERNAL_ID = Parameter(
    name="external_id",
    place="path",
    schema={"type": "string", "minLength": 1, "maxLength": LONGEST_EXTERNAL_ID, "pattern": EXTERNAL_ID},
    description="The customer's id in the storefront. An id with a slash cannot be requested.",
    example="user_42",
)
_CREDITS_ERRORS = (InvalidRequestError, UnauthorizedError, NotFoundError, UnavailableError)

GET_CREDITS = Operation(
    name="get_customer_credits",
    method="GET",
    path="/v1/customers/{customer_id}/credits",
    summary="What a customer has left",
    parameters=(_CUSTOMER_ID,),
    answers=(CustomerAnswer,),
    errors=_CREDITS_ERRORS,
)
GET_EXTERNAL_CREDITS = Operation(
    name="get_external_customer_credits",
    method="GET",
    path="/v1/customers/external/{external_id}/credits",
    summary="What a customer has left, by the storefront's own id",
    parameters=(_EXTERNAL_ID,),
    answers=(CustomerAnswer,),
    errors=_CREDITS_ERRORS,
)

POST_OFFER = Operation(
    name="give_offer",
    method="POST",
    path="/v1/offers/{offer}",
    summary="Give a customer the credits of an offer",
    parameters=(
        Parameter(
            name="offer",
            place="path",
            schema={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
            description="The offer's name in the rules.",
            example="referral",
        ),
        Parameter(
            name="wait",
            place="query",
            schema={"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 5},
            description="How many seconds to hold the answer until the credits are at Polar.",
            example=10,
        ),
    ),
    body=OfferBody,
    answers=(GivenOfferAnswer, WaitingOfferAnswer, OfferAnswer),
    errors=(
        InvalidRequestError,
        UnauthorizedError,
        NotFoundError,
        ConflictError,
        NotOfferedError,
        UnavailableError,
    ),
)

OPERATIONS = (GET_ORDER, GET_CREDITS, GET_EXTERNAL_CREDITS, POST_OFFER)
