"""The meters, products and webhook endpoints of an organization at Polar, parsed from its API.

The fields follow Polar's OpenAPI (2026-10). Unknown fields, operators, price and benefit types are accepted.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct
from pydantic import Field, SecretStr, ValidationError

from config.wording import quoted
from workers.core.views import View
from workers.errors import PolarUnreachableError


class Clause(View):
    """One condition on an event's name, source, timestamp or metadata."""

    property: str
    operator: str
    value: str | int | float | bool

    def __str__(self) -> str:
        """Return it as people would write it."""
        value = quoted(self.value) if isinstance(self.value, str) else self.value
        return f"{self.property} {self.operator} {value}"


class Filter(View):
    """Conditions of which all ("and") or any ("or") must be true; without conditions, every event passes."""

    conjunction: str
    clauses: tuple["Clause | Filter", ...]

    def leaves(self) -> Iterator[Clause]:
        """Yield every condition, including those of nested filters."""
        for one in self.clauses:
            if isinstance(one, Filter):
                yield from one.leaves()
            else:
                yield one


class Aggregation(View):
    """How a meter aggregates its events; ``property`` is None for a count."""

    func: str
    property: str | None = None


class PolarMeter(View):
    """A meter; ``name`` is its title. The name of its events is in the filter."""

    id: str
    name: str
    filter: Filter
    aggregation: Aggregation
    archived_at: datetime | None = None


class _Price(View):
    meter_id: str | None = None


class _Benefit(View):
    type: str
    is_deleted: bool = False
    properties: dict[str, Any] = Field(default_factory=dict)


class PolarProduct(View):
    """A product, with the fields of its prices and benefits that concern meters."""

    id: str
    name: str
    is_recurring: bool
    recurring_interval: str | None = None
    is_archived: bool
    meter_interval: str | None = None
    """How often Polar resets its metered meters, such as "month"; None: as often as it bills."""
    meter_interval_count: int | None = None
    prices: tuple[_Price, ...]
    benefits: tuple[_Benefit, ...]

    @property
    def billed_meters(self) -> frozenset[str]:
        """Return the ids of the meters whose usage it bills."""
        return frozenset(price.meter_id for price in self.prices if price.meter_id)

    @property
    def credited_meters(self) -> frozenset[str]:
        """Return the ids of the meters that Polar's own Credits benefit credits."""
        return frozenset(
            str(benefit.properties.get("meter_id"))
            for benefit in self.benefits
            if benefit.type == "meter_credit" and not benefit.is_deleted
        )


class PolarEndpoint(View):
    """Where Polar sends webhooks, of which types, and how. Its secret is masked wherever it is shown."""

    id: str
    url: str
    enabled: bool = True
    events: tuple[str, ...]
    format: str = "raw"
    secret: SecretStr | None = None


Shape = TypeVar("Shape", bound=View)
Item = TypeVar("Item", PolarMeter, PolarProduct)


class Listed(Struct, Generic[Item], frozen=True, kw_only=True):
    """The items that were read from a list, and how many were not."""

    items: tuple[Item, ...]
    unread: int = 0


class Products(Listed[PolarProduct], frozen=True, kw_only=True):
    """The products that were read, and the ids that were looked up and do not exist."""

    missing: frozenset[str] = frozenset()


def parse_items(shape: type[Shape], items: Iterable[Any]) -> tuple[Shape, ...]:
    """Return Polar's items, parsed; PolarUnreachableError if one of them cannot be parsed."""
    try:
        return tuple(shape.model_validate(item) for item in items)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"])) or "item"
        raise PolarUnreachableError(f"Polar's answer cannot be read: {place}: {problem['msg']}") from None
