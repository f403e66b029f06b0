"""The query parameters of the stand-in's lists, and the pages that the lists return."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import Annotated, Any, Literal, TypeVar

from pydantic import UUID4, AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.refusals import not_found, validate
from app.demo.polar.response_models import OrderStatus

MOST_PER_PAGE = 100  # Polar returns no more, whatever the limit

Row = TypeVar("Row")
Value = TypeVar("Value")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# A parameter that may be repeated; a row matches if it has any of the values.
AnyOf = Annotated[list[Value], BeforeValidator(_as_list)]


class Query(BaseModel):
    """Which page of a list is requested."""

    page: int = Field(1, ge=1)
    limit: int = Field(10, ge=1)

    def page_of(self, rows: Sequence[Row], to_model: Callable[[Row], BaseModel]) -> Response:
        """Return the requested page of ``rows``, each converted by ``to_model``, and the total count."""
        size = min(self.limit, MOST_PER_PAGE)
        start = (self.page - 1) * size
        content = {
            "items": [to_model(row).model_dump(mode="json") for row in rows[start : start + size]],
            "pagination": {"total_count": len(rows), "max_page": ceil(len(rows) / size)},
        }
        return JSONResponse(content)


class OrdersQuery(Query):
    """The filters of orders."""

    product_id: AnyOf[UUID4] | None = None
    customer_id: AnyOf[UUID4] | None = None
    subscription_id: AnyOf[UUID4] | None = None
    status: AnyOf[OrderStatus] | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    sorting: Literal["created_at", "-created_at"] = "-created_at"


class EventsQuery(Query):
    """The filters of events, except ``metadata[<key>]``."""

    name: AnyOf[str] | None = None
    customer_id: AnyOf[UUID4] | None = None
    source: AnyOf[Literal["system", "user"]] | None = None
    start_timestamp: AwareDatetime | None = None
    end_timestamp: AwareDatetime | None = None
    sorting: Literal["timestamp", "-timestamp"] = "-timestamp"


class DeliveriesQuery(Query):
    """The filters of webhook deliveries, which are always listed newest first."""

    succeeded: bool | None = None
    event_type: AnyOf[str] | None = None
    start_timestamp: AwareDatetime | None = None
    end_timestamp: AwareDatetime | None = None


class BalancesQuery(Query):
    """The filter of balances."""

    customer_id: AnyOf[UUID4] | None = None


class CustomersQuery(Query):
    """The filter of customers."""

    email: str | None = None


AnyQuery = TypeVar("AnyQuery", bound=Query)


def parse_query(request: Request, model: type[AnyQuery]) -> AnyQuery:
    """Return the query parameters as a ``model``; RefusalError, 422, if one is not valid."""
    values = {name: request.query_params.getlist(name) for name in request.query_params}
    return validate(model, {name: one if one[1:] else one[0] for name, one in values.items()}, "query")


def is_any_of(wanted: Sequence[Value] | None, value: Value | None) -> bool:
    """Return whether ``value`` is one of those ``wanted``; without a filter, every value matches."""
    return wanted is None or value in wanted


def is_between(start: datetime | None, moment: datetime, end: datetime | None) -> bool:
    """Return whether ``moment`` is after ``start`` and before ``end``, as far as these are given."""
    return (start is None or moment > start) and (end is None or moment < end)


def show(record: BaseModel | None, status: int = 200) -> Response:
    """Return one record as a response; RefusalError, 404, if it is None."""
    if record is None:
        raise not_found()
    return JSONResponse(record.model_dump(mode="json"), status)


def as_stored(record: BaseModel) -> BaseModel:
    """Return ``record`` unchanged: most records are shown as they are stored."""
    return record
