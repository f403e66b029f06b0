"""What a scan of Polar's orders finds: orders that were never credited, and orders that it leaves alone."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from workers.core.dry_run import Prospect
from workers.core.grants import Grant

_PREFIX = "backfill-"


class MissingOrder(Struct, frozen=True, kw_only=True):
    """An order that was never credited, with its planned grants."""

    order_id: str
    customer_id: str
    created_at: datetime
    prospect: Prospect
    """What crediting it would do."""
    grants: tuple[Grant, ...]
    packed_body: bytes
    """The body of the webhook that would have announced it, compressed as in the store."""
    was_skipped: bool = False
    """Whether its webhook came and was skipped, by other rules."""

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that credits the order."""
        return delivery_id_of(self.order_id)


class OrderProblem(Struct, frozen=True, kw_only=True):
    """An order that a backfill leaves alone, and the reason."""

    order_id: str
    reason: str


class Problems(Protocol):
    """A list of orders that only grows: one in memory, or one on disk."""

    def append(self, one: OrderProblem, /) -> None:
        """Add an order."""

    def __iter__(self) -> Iterator[OrderProblem]:
        """Yield the orders."""

    def __len__(self) -> int:
        """Return how many there are."""


def delivery_id_of(order_id: str) -> str:
    """Return the id of the delivery that a backfill stores in place of an order's missing webhook."""
    return _PREFIX + order_id
