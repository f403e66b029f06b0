"""A delivery: its statuses, the lease a worker holds on it, and its outcome."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"
    """Stored; its turn will come, or comes again."""
    GRANTED = "granted"
    """Polar has taken every grant that it led to."""
    SKIPPED = "skipped"
    """It leads to no credit, for the reason given."""
    FAILED = "failed"
    """It cannot be granted as it is, for the reason given; kept, and can be replayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leased:
    """A delivery in a worker's hands.

    ``strikes`` is how often its grants failed alone; ``attempt`` numbers the leases of this delivery:
    only who has the last one decides what becomes of it.
    """

    id: str
    type: str
    body: bytes
    strikes: int
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """What a worker holds; ``outages`` are the pauses in a row before it (then it is a probe)."""

    deliveries: tuple[Leased, ...]
    outages: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A stored delivery as operators see it."""

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
    """Whether it failed and a person put it to rest."""
    erased_at: datetime | None = None
    """When its body was erased: it can no longer be run, nor read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one delivery; ``after_seconds`` is until its next turn where it still waits."""

    delivery_id: str
    attempt: int
    status: Status
    reason: str = ""
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
    after_seconds: float = 0
    strike: bool = False
