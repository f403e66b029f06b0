"""PURE: the values that pass between the stores and the core."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from workers.core.grants import Grant

# Stands where the delivery does that claimed a fact: Polar does not know which that was.
REBUILD = "rebuild"


Taken = Mapping[str, Mapping[str, Decimal]]
"""What was taken back of an order's credits so far: by meter, by rule, positive."""


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
    computed_from: tuple[Grant, ...] = ()
    """What it was worked out from: a rebuild may have corrected that meanwhile."""
