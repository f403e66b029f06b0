"""Defines a delivery: its status, the lease that a worker holds on it, and its outcome."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Status(StrEnum):
    """How far a delivery has come."""

    WAITING = "waiting"
    """Stored, and due now or later."""
    GRANTED = "granted"
    """Polar has confirmed every grant of the delivery."""
    SKIPPED = "skipped"
    """The delivery earns no credit, for the reason given."""
    FAILED = "failed"
    """The delivery could not be granted, for the reason given. It is kept, and can be replayed."""


class Leased(Struct, frozen=True, kw_only=True):
    """A delivery that a worker has leased.

    ``strikes`` counts how often its grants failed while others succeeded. ``attempt`` is the number of this
    lease. Only the worker with the latest lease may settle the delivery.
    """

    id: str
    type: str
    body: bytes
    strikes: int
    attempt: int


class Lease(Struct, frozen=True, kw_only=True):
    """The deliveries that a worker has leased together.

    ``outages`` counts the consecutive pauses before this lease. After a pause, the lease is a probe: it shows
    whether Polar is back.
    """

    deliveries: tuple[Leased, ...]
    outages: int = 0


class LeaseNote(Struct, frozen=True, kw_only=True):
    """When an attempt of a delivery began."""

    number: int
    at: datetime


class Replay(Struct, frozen=True, kw_only=True):
    """When a person wanted a delivery to run again, and who: the name of an operator, or a command."""

    at: datetime
    by: str


class Delivery(Struct, frozen=True, kw_only=True):
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
    refusal: str = ""
    """Why an offer was not given, as a word for the storefront (``workers.core.planning.Refusal``)."""
    erased_at: datetime | None = None
    """When its body was erased. After that, the delivery can no longer be read or replayed."""
    leases: tuple[LeaseNote, ...] = ()
    """Those of the newest ten attempts, the oldest first."""
    replays: tuple[Replay, ...] = ()
    """Those among the newest ten attempts, the oldest first."""

    @property
    def can_be_dismissed(self) -> bool:
        """Return whether it failed, or was dismissed before: dismissing it again changes nothing."""
        return self.status is Status.FAILED or self.is_dismissed


class PutBack(Struct, frozen=True, kw_only=True):
    """A later instalment of an order that is looked at again at ``until``, by Polar's clock."""

    number: int
    meter: str
    until: datetime
    reason: str = ""
    """Why it waits, for example for its subscription; empty if it was only too early."""
    too_early_at: datetime | None = None
    """The time by Polar's clock, if it was too early: the clock of Redis is ahead of Polar's."""


class Ended(Struct, frozen=True, kw_only=True):
    """Why an order has no further instalments on a meter."""

    meter: str
    reason: str


class Outcome(Struct, frozen=True, kw_only=True):
    """How a delivery ended. If its status is ``waiting``, it is due again in ``after_seconds``."""

    delivery_id: str
    attempt: int
    status: Status
    reason: str = ""
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
    after_seconds: float = 0
    strike: bool = False
    refusal: str = ""
    """Why an offer was not given, as a word for the storefront."""
    relies_on: tuple[str, ...] = ()
    """The subjects whose claims the outcome relies on. If one is lost, the delivery is claimed again."""
    refunded_amount: int | None = None
    """The refund in cents that the ledger has noted with the order, in the same sense."""
    dispute_id: str | None = None
    """The lost dispute that the ledger has noted with the order, in the same sense."""
    put_back: PutBack | None = None
    """The instalment that comes again later. The delivery itself is deleted."""
    ended: Ended | None = None
    """What the delivery of an instalment has found out about those that would follow."""
    refused: tuple[str, ...] = ()
    """The take-backs of other deliveries that this one has sent and Polar has refused."""
    is_shown: bool = False
    """Whether the ledger has noted what the webhook shows the order to be, in the same sense."""
