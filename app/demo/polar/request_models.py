"""The bodies and paths that Polar accepts, as pydantic models, and the 422 entries for invalid ones.

Polar itself uses FastAPI with pydantic. Models with the same names and field order therefore produce the
same entries: the same number for each bad event, with the same locations and messages.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    UUID4,
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    Field,
    StringConstraints,
    UrlConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError


def validation_entries(error: ValidationError, *location: str) -> list[dict[str, Any]]:
    """Return the entries of a 422's ``detail``, each ``loc`` beginning with ``location``."""
    return [
        {**entry, "loc": [*location, *entry["loc"]], **_encodable_context(entry.get("ctx"))}
        for entry in error.errors(include_url=False)
    ]


def _encodable_context(context: Mapping[str, Any] | None) -> dict[str, Any]:
    if context is None:
        return {}
    # FastAPI encodes an exception as an empty object.
    return {"ctx": {k: {} if isinstance(v, Exception) else v for k, v in context.items()}}


def _in_the_past(moment: datetime) -> datetime:
    if moment > datetime.now(UTC):
        raise ValueError("Timestamp must be in the past.")
    return moment


def _not_localhost(url: AnyUrl) -> AnyUrl:
    if (url.host or "").lower() in {"localhost", "127.0.0.1", "0.0.0.0", "[::1]"}:  # noqa: S104 - none binds
        raise ValueError("Webhook URLs cannot point to localhost.")
    return url


def _with_an_at_sign(email: str) -> str:
    if "@" not in email:
        raise PydanticCustomError(
            "value_error",
            "value is not a valid email address: {reason}",
            {"reason": "An email address must have an @-sign."},
        )
    return email


_Key = Annotated[str, StringConstraints(min_length=1, max_length=40)]
_Value = Annotated[str, StringConstraints(min_length=1, max_length=500)] | int | float | bool
_Metadata = Annotated[dict[_Key, _Value], Field(max_length=50)]


class _EventCreate(BaseModel):
    timestamp: Annotated[AwareDatetime, AfterValidator(_in_the_past)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    name: str = Field(max_length=128)
    external_id: str | None = None
    metadata: _Metadata = {}


class EventCreateCustomer(_EventCreate):
    """A usage event for a customer by Polar's id; the customer must exist."""

    customer_id: UUID4


class EventCreateExternalCustomer(_EventCreate):
    """A usage event for a customer by the merchant's id; the customer need not exist yet."""

    external_customer_id: str
    # An event with both ids keeps the external one: pydantic chooses the model that matches more of
    # the fields that were sent.
    customer_id: Any = Field(None, exclude=True)


EventCreate = EventCreateCustomer | EventCreateExternalCustomer


class EventsIngest(BaseModel):
    """The body of ``POST /v1/events/ingest``."""

    events: list[EventCreate]


class CustomerCreate(BaseModel):
    """The body of ``POST /v1/customers/``."""

    external_id: str | None = None
    name: str | None = Field(None, max_length=256)
    email: Annotated[str, AfterValidator(_with_an_at_sign)]


class ById(BaseModel):
    """The path parameter of a single resource."""

    id: UUID4


class _Clause(BaseModel):
    property: str
    operator: Literal["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"]
    value: Annotated[str, StringConstraints(max_length=1000)] | int | bool


class _Filter(BaseModel):
    conjunction: Literal["and", "or"]
    clauses: list["_Clause | _Filter"]


class _Aggregation(BaseModel):
    func: Literal["avg", "max", "min", "sum"]
    property: str


class MeterCreate(BaseModel):
    """The body of ``POST /v1/meters/``, for meters that aggregate a property."""

    name: str = Field(min_length=3)
    filter: _Filter
    aggregation: _Aggregation


_EndpointUrl = Annotated[
    AnyUrl,
    UrlConstraints(max_length=2083, allowed_schemes=["https"], host_required=True),
    AfterValidator(_not_localhost),
]
_Format = Literal["raw", "discord", "slack"]


class EndpointCreate(BaseModel):
    """The body of ``POST /v1/webhooks/endpoints``; Polar refuses to send webhooks by plain HTTP."""

    url: _EndpointUrl
    name: str | None = None
    format: _Format
    events: list[str]


class EndpointUpdate(BaseModel):
    """The body of ``PATCH /v1/webhooks/endpoints/{id}``."""

    url: _EndpointUrl | None = None
    name: str | None = None
    format: _Format | None = None
    events: list[str] | None = None
    enabled: bool | None = None
