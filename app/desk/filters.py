"""Which deliveries an operator wants to see: the fields of the form above the list."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from app.desk.errors import DeskError
from config.ids import read_id
from config.wording import quoted
from workers.core.adjust_delivery import MANUAL_ADJUST
from workers.core.delivery import Delivery, Status
from workers.core.dispute_delivery import DISPUTE_LOST
from workers.core.envelope import STORED_TYPES
from workers.core.manual import MANUAL_GRANT, MANUAL_REVOKE
from workers.core.offers import OFFER
from workers.core.take_back_delivery import TAKE_BACK
from workers.store.deliveries import Place

TYPES = (*sorted(STORED_TYPES), OFFER, DISPUTE_LOST, TAKE_BACK, MANUAL_GRANT, MANUAL_REVOKE, MANUAL_ADJUST)


class Filters(Struct, frozen=True, kw_only=True):
    """What is wanted; an empty field wants everything. Times are in UTC."""

    status: Status | None = None
    type: str = ""
    since: datetime | None = None
    until: datetime | None = None
    order_id: str = ""
    customer_id: str = ""

    @property
    def statuses(self) -> list[Status]:
        """Return the statuses that are wanted."""
        return [self.status] if self.status else list(Status)

    @property
    def is_about_one(self) -> bool:
        """Return whether only an order's or a customer's deliveries are wanted."""
        return bool(self.order_id or self.customer_id)

    @property
    def fields(self) -> dict[str, object]:
        """Return the filters as the fields of a query."""
        return {
            "status": self.status.value if self.status else "",
            "type": self.type,
            "since": to_input(self.since),
            "until": to_input(self.until),
            "order": self.order_id,
            "customer": self.customer_id,
        }

    def want(self, one: Delivery) -> bool:
        """Return whether a delivery is wanted."""
        return (
            one.status in self.statuses
            and self.type in {"", one.type}
            and (self.since is None or one.received_at >= self.since)
            and (self.until is None or one.received_at < self.until)
        )


def read_filters(fields: Mapping[str, str]) -> Filters:
    """Return the filters that the fields of a query name; DeskError if one cannot be used."""
    status = fields.get("status", "").strip()
    if status and status not in set(Status):
        raise DeskError(400, f"{quoted(status)} is no status. The statuses are {', '.join(Status)}.")
    order_id = _read_id(fields.get("order", ""), "an order's id")
    customer_id = _read_id(fields.get("customer", ""), "a customer's id at Polar")
    if order_id and customer_id:
        raise DeskError(400, "Give either an order or a customer, not both.")
    return Filters(
        status=Status(status) if status else None,
        type=fields.get("type", "").strip(),
        since=_read_time(fields.get("since", "")),
        until=_read_time(fields.get("until", "")),
        order_id=order_id,
        customer_id=customer_id,
    )


def read_place(text: str) -> Place | None:
    """Return the place behind which a page begins: ``1764400000000:msg-1``; None if there is none."""
    at_ms, _, id_ = text.partition(":")
    if not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) <= len("1764400000000000")):
        return None
    return Place(at_ms=int(at_ms), id=id_)


def to_input(moment: datetime | None) -> str:
    """Return a time as a form's field for times has it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}" if moment else ""


def _read_time(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
    except ValueError:
        raise DeskError(400, f"{quoted(text)} is not a time such as 2026-11-29T14:00.") from None


def _read_id(text: str, expected: str) -> str:
    if not text.strip():
        return ""
    try:
        return read_id(text.strip())
    except ValueError:
        raise DeskError(400, f"{quoted(text)} is not {expected}.") from None
