"""What the stand-in's lists can be asked for, and how they answer: filtered, sorted, in pages."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import Annotated, Any, Literal, TypeVar

from pydantic import UUID4, AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.door import read
from app.demo.polar.history import OrderStatus

MOST_PER_PAGE = 100  # Polar gives no more, whatever is asked for

Row = TypeVar("Row")
Value = TypeVar("Value")


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# A parameter that may be repeated: any of its values will do.
AnyOf = Annotated[list[Value], BeforeValidator(_several)]


class Query(BaseModel):
    """Which part of a list is asked for."""

    page: int = Field(1, ge=1)
    limit: int = Field(10, ge=1)

    def answer(self, rows: Sequence[Row], show: Callable[[Row], BaseModel]) -> Response:
        """Return one page of ``rows``, each as ``show`` makes it, and how many there are."""
        size = min(self.limit, MOST_PER_PAGE)
        start = (self.page - 1) * size
        content = {
            "items": [show(row).model_dump(mode="json") for row in rows[start : start + size]],
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
    """The filters of events, but for their metadata."""

    name: AnyOf[str] | None = None
    customer_id: AnyOf[UUID4] | None = None
    source: AnyOf[Literal["system", "user"]] | None = None
    start_timestamp: AwareDatetime | None = None
    end_timestamp: AwareDatetime | None = None
    sorting: Literal["timestamp", "-timestamp"] = "-timestamp"


class DeliveriesQuery(Query):
    """The filters of attempts to deliver webhooks; the newest come first, always."""

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


Asked = TypeVar("Asked", bound=Query)


def query_of(request: Request, shape: type[Asked]) -> Asked:
    """Return what is asked for in the address; RefusalError, 422, if it is of another shape."""
    named = {name: request.query_params.getlist(name) for name in request.query_params}
    return read(shape, {name: one if one[1:] else one[0] for name, one in named.items()}, "query")


def wanted(asked: Sequence[Value] | None, value: Value | None) -> bool:
    """Say whether ``value`` is one of those asked for; nothing asked for is everything."""
    return asked is None or value in asked


def between(start: datetime | None, moment: datetime, end: datetime | None) -> bool:
    """Say whether ``moment`` lies after ``start`` and before ``end``, where those are given."""
    return (start is None or moment > start) and (end is None or moment < end)


def itself(record: BaseModel) -> BaseModel:
    """Return what is shown of a record that is shown as it is kept."""
    return record
