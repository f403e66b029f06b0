"""The query parameters of the stand-in's lists, and the pages that the lists return."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from math import ceil
from typing import Annotated, Any, Literal, TypeVar

from pydantic import UUID4, AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.refusals import not_found, validate
from app.demo.polar.response_models import DisputeStatus, OrderStatus

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
        """Return the requested page of ``rows``, each converted by ``to_model``, and the total count.

        Polar counts the rows in the same statement, so it counts none past the last page.
        """
        start = (self.page - 1) * self.size
        shown = rows[start : start + self.size]
        total = len(rows) if shown else 0
        content = {
            "items": [to_model(row).model_dump(mode="json") for row in shown],
            "pagination": {"total_count": total, "max_page": ceil(total / self.size)},
        }
        return JSONResponse(content)

    @property
    def size(self) -> int:
        """Return how many rows a page has."""
        return min(self.limit, MOST_PER_PAGE)


class SortedQuery(Query):
    """Which page of a list is requested whose rows are sorted by a moment, and by that alone."""

    sorting: str
    customer_id: AnyOf[UUID4] | None = None

    def sort(self, rows: Iterable[Row], moment: Callable[[Row], datetime]) -> list[Row]:
        """Return ``rows`` by ``moment``; equal moments have another order on each page.

        Polar has no second criterion, so its database returns ties in any order. A page, a page size, a
        direction or a customer has always the same order, but two of them differ: the pages of a list repeat
        some rows of a tie and miss others, and miss the same ones at every repetition.
        """
        request = f"{self.page} {self.size} {self.sorting} {self.customer_id}"

        def place(numbered: tuple[int, Row]) -> tuple[datetime, bytes]:
            number, row = numbered
            return moment(row), blake2b(f"{number} {request}".encode(), digest_size=8).digest()

        found = sorted(enumerate(rows), key=place, reverse=self.sorting.startswith("-"))
        return [row for _, row in found]


class OrdersQuery(SortedQuery):
    """The filters of orders."""

    product_id: AnyOf[UUID4] | None = None
    subscription_id: AnyOf[UUID4] | None = None
    status: AnyOf[OrderStatus] | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    sorting: Literal["created_at", "-created_at"] = "-created_at"


class EventsQuery(SortedQuery):
    """The filters of events, except ``metadata[<key>]``."""

    name: AnyOf[str] | None = None
    source: AnyOf[Literal["system", "user"]] | None = None
    start_timestamp: AwareDatetime | None = None
    end_timestamp: AwareDatetime | None = None
    sorting: Literal["timestamp", "-timestamp"] = "-timestamp"


class SubscriptionsQuery(SortedQuery):
    """The filters of subscriptions."""

    product_id: AnyOf[UUID4] | None = None
    status: AnyOf[str] | None = None
    sorting: Literal["started_at", "-started_at"] = "-started_at"


class DisputesQuery(SortedQuery):
    """The filters of disputes."""

    order_id: AnyOf[UUID4] | None = None
    status: AnyOf[DisputeStatus] | None = None
    sorting: Literal["created_at", "-created_at"] = "-created_at"


class DeliveriesQuery(SortedQuery):
    """The filters of webhook deliveries, which are always listed newest first."""

    sorting: Literal["-created_at"] = "-created_at"
    succeeded: bool | None = None
    event_type: AnyOf[str] | None = None
    start_timestamp: AwareDatetime | None = None
    end_timestamp: AwareDatetime | None = None


class BalancesQuery(Query):
    """The filter of balances."""

    customer_id: AnyOf[UUID4] | None = None


class QuantitiesQuery(BaseModel):
    """Which events of a meter are summed. Polar knows other intervals too; we ask for years."""

    start_timestamp: Annotated[AwareDatetime, Field(ge=datetime(2023, 1, 1, tzinfo=UTC))]
    end_timestamp: AwareDatetime
    interval: Literal["year"]
    customer_id: AnyOf[UUID4] | None = None


class CustomersQuery(Query):
    """The filter of customers."""

    email: str | None = None


AnyQuery = TypeVar("AnyQuery", bound=BaseModel)


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
