"""Views of what an organization counts and sells at Polar: its meters and its products.

Shapes: Polar's OpenAPI (2026-10); unknown fields, operators, price and benefit types are normal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from config.wording import quoted
from workers.errors import PolarUnreachableError


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Clause(_View):
    """One condition on an event's name, source, timestamp or metadata."""

    property: str
    operator: str
    value: str | int | float | bool

    def __str__(self) -> str:
        """Return it as people would write it."""
        value = quoted(self.value) if isinstance(self.value, str) else self.value
        return f"{self.property} {self.operator} {value}"


class Filter(_View):
    """Conditions of which all must hold ("and") or any ("or"); where there are none, every event passes."""

    conjunction: str
    clauses: tuple["Clause | Filter", ...]

    def leaves(self) -> Iterator[Clause]:
        """Yield every condition, however deep."""
        for one in self.clauses:
            if isinstance(one, Filter):
                yield from one.leaves()
            else:
                yield one


class Aggregation(_View):
    """What is made of the events that pass; ``property`` is None where they are only counted."""

    func: str
    property: str | None = None


class PolarMeter(_View):
    """A meter; ``name`` is what people call it, the name of its events is in the filter."""

    id: str
    name: str
    filter: Filter
    aggregation: Aggregation
    archived_at: datetime | None = None


class _Price(_View):
    meter_id: str | None = None


class _Benefit(_View):
    type: str
    is_deleted: bool = False
    properties: dict[str, Any] = {}


class PolarProduct(_View):
    """A product; its prices and benefits matter as far as they touch a meter."""

    id: str
    name: str
    is_recurring: bool
    is_archived: bool
    prices: tuple[_Price, ...]
    benefits: tuple[_Benefit, ...]

    @property
    def billed_meters(self) -> frozenset[str]:
        """Return the ids of the meters that it bills by usage."""
        return frozenset(price.meter_id for price in self.prices if price.meter_id)

    @property
    def credited_meters(self) -> frozenset[str]:
        """Return the ids of the meters that it credits by Polar's own Credits benefit."""
        return frozenset(
            str(benefit.properties.get("meter_id"))
            for benefit in self.benefits
            if benefit.type == "meter_credit" and not benefit.is_deleted
        )


View = TypeVar("View", bound=_View)
Item = TypeVar("Item", PolarMeter, PolarProduct)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed(Generic[Item]):
    """What was read of a list, and how many more there are."""

    items: tuple[Item, ...]
    unread: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Products(Listed[PolarProduct]):
    """The products that were read, and which of those asked for by name do not exist."""

    missing: frozenset[str] = frozenset()


def views(shape: type[View], items: Iterable[Any]) -> tuple[View, ...]:
    """Return Polar's items as views; PolarUnreachableError if one of them cannot be read."""
    try:
        return tuple(shape.model_validate(item) for item in items)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"])) or "item"
        raise PolarUnreachableError(f"Polar's answer cannot be read: {place}: {problem['msg']}") from None
