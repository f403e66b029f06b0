"""PURE: the values that pass between the stores and the core."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from workers.core.grants import Grant

Taken = Mapping[str, Mapping[str, Decimal]]
"""What was taken back of an order's credits so far: by meter, by rule, positive."""


def moment_of(milliseconds: str | bytes | float) -> datetime:
    """Return the moment that Redis keeps as milliseconds since the epoch."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, tz=UTC)


def milliseconds_of(moment: datetime) -> int:
    """Return a moment as Redis keeps it."""
    return int(moment.timestamp() * 1000)


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
    erased_at: datetime | None = None
    """When its body was erased: it can no more be run, nor read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What is frozen for one subject, and which of its meters Polar has taken."""

    subject: str
    delivery_id: str
    claimed_at: datetime
    grants: tuple[Grant, ...] = ()
    settled: Mapping[str, datetime] = field(default_factory=dict)
    order_id: str | None = None

    @property
    def unsettled(self) -> tuple[Grant, ...]:
        """Return the grants that Polar has not confirmed yet."""
        return tuple(grant for grant in self.grants if grant.meter not in self.settled)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One grant of the ledger: made by which delivery, frozen when, taken by Polar when (None: not yet)."""

    grant: Grant
    delivery_id: str
    claimed_at: datetime
    granted_at: datetime | None

    @property
    def status(self) -> str:
        """Return ``granted`` once Polar has taken it; ``claimed`` until then."""
        return "granted" if self.granted_at else "claimed"

    def is_of(self, meter: str, since: datetime | None) -> bool:
        """Say whether Polar has taken it on ``meter``, and since then."""
        at = self.granted_at
        return self.grant.meter == meter and at is not None and (since is None or at >= since)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refund:
    """All refunds of an order so far: cents without tax, and the share of what was paid."""

    amount: int
    share: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Revoke:
    """Somebody wants an order's credits back: those on one meter, or (None) on all."""

    meter: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """All that the ledger has for one business fact: its own claim, first, and those linked to it.

    Linked are what ``once_per`` rules gave for it, and what refunds took back. ``elsewhere`` are the
    claims by which its customer had such a bonus for another fact: none of our business but to say so.
    ``refund`` is the highest seen, even before anything was credited.
    """

    subject: str
    claims: tuple[Claim, ...] = ()
    elsewhere: tuple[Claim, ...] = ()
    refund: Refund | None = None
    taken: Taken = field(default_factory=dict)

    @property
    def own(self) -> Claim | None:
        """Return the claim of the fact itself: where it stands, the whole plan is frozen."""
        return next((claim for claim in self.claims if claim.subject == self.subject), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeBack:
    """Grants of less than nothing that a refund leads to, or a person; what is taken with them, all told.

    It holds only where ``before`` is what had been taken on these meters.
    """

    delivery_id: str
    subject: str
    grants: tuple[Grant, ...]
    before: Taken
    after: Taken
    of: tuple[Grant, ...] = ()
    """What it was worked out from: a rebuild may have corrected that meanwhile."""


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
