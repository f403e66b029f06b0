"""Defines a delivery: its status, the lease that a worker holds on it, and its outcome."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """Where a delivery is on its way."""

    WAITING = "waiting"
    """Stored, and due now or later."""
    GRANTED = "granted"
    """Polar has confirmed every grant that it led to."""
    SKIPPED = "skipped"
    """It earns no credit, for the reason given."""
    FAILED = "failed"
    """It could not be granted, for the reason given. It is kept, and can be replayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leased:
    """A delivery that a worker has leased.

    ``strikes`` counts how often its grants failed while others passed. ``attempt`` numbers the leases of this
    delivery: only the holder of the latest one may settle it.
    """

    id: str
    type: str
    body: bytes
    strikes: int
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The deliveries that a worker has leased at once.

    ``outages`` counts the pauses in a row before it. If there were any, it probes whether Polar is back.
    """

    deliveries: tuple[Leased, ...]
    outages: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A stored delivery, as operators see it."""

    id: str
    type: str
    status: Status
    reason: str
    received_at: datetime
    settled_at: datetime | None
    attempts: int
    subject: str | None
    order_id: str | None
    customer_id: str | None
    is_dismissed: bool = False
    """Whether it failed and a person dismissed it."""
    erased_at: datetime | None = None
    """When its body was erased; since then it can neither be read nor replayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one delivery ended. If it still waits, it is due again in ``after_seconds``."""

    delivery_id: str
    attempt: int
    status: Status
    reason: str = ""
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
    after_seconds: float = 0
    strike: bool = False
