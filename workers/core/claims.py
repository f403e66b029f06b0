"""Defines what the ledger holds for a fact."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from msgspec import Struct, field

from config.intervals import Every
from workers.core.grants import (
    Grant,
    adjust_subject,
    has_own_delivery,
    instalment_subject,
    is_adjustment,
    is_instalment,
    is_take_back,
    order_of,
)
from workers.core.schedule import PaidPeriod

# Replaces the delivery's id in a claim that was rebuilt, because Polar does not know the delivery.
REBUILD = "rebuild"


Taken = Mapping[str, Mapping[str, Decimal]]
"""Credits taken back from an order so far, by meter and rule; positive."""


class Claim(Struct, frozen=True, kw_only=True):
    """The frozen grants of one subject, and when Polar confirmed each of them.

    ``settled`` maps the meter of each confirmed grant to the time of its confirmation.
    """

    subject: str
    delivery_id: str
    claimed_at: datetime
    grants: tuple[Grant, ...] = ()
    settled: Mapping[str, datetime] = field(default_factory=dict)
    unconfirmed: Mapping[str, str] = field(default_factory=dict)
    """What Polar has of each settled grant that may differ there, by meter; empty until it is read."""
    order_id: str | None = None
    is_dismissed: bool = False
    """Whether a person has dismissed the delivery of this take-back, adjustment or instalment."""

    @property
    def unsettled(self) -> tuple[Grant, ...]:
        """Return the grants that Polar has not confirmed."""
        if not self.settled:
            return self.grants
        return tuple(grant for grant in self.grants if grant.meter not in self.settled)


class Entry(Struct, frozen=True, kw_only=True):
    """One grant as the ledger lists it. ``granted_at`` is None until Polar confirms the grant."""

    grant: Grant
    delivery_id: str
    claimed_at: datetime
    granted_at: datetime | None

    @property
    def status(self) -> str:
        """Return ``granted`` once Polar has confirmed the grant; until then ``claimed``."""
        return "granted" if self.granted_at else "claimed"

    def is_of(self, meter: str, since: datetime | None) -> bool:
        """Return whether Polar confirmed a grant on ``meter`` (empty: any), at ``since`` or later."""
        at = self.granted_at
        return meter in {self.grant.meter, ""} and at is not None and (since is None or at >= since)


class Shown(StrEnum):
    """What a webhook showed an order to be. It stays that, whatever Polar shows of it later."""

    FINAL_INVOICE = "final"
    TRIAL_START = "trial"


class Refund(Struct, frozen=True, kw_only=True):
    """All refunds of an order so far: ``amount`` in cents without tax, ``share`` of the price from 0 to 1."""

    amount: int
    share: Fraction


class Dispute(Struct, frozen=True, kw_only=True):
    """A dispute of an order that was lost: its ``share`` of the price without tax, from 0 to 1."""

    id: str
    share: Fraction


class Revoke(Struct, frozen=True, kw_only=True):
    """A person's request to take back an order's credits on ``meter``; on all meters if that is None."""

    meter: str | None = None


class Adjust(Struct, frozen=True, kw_only=True):
    """A person's request to bring what ``rule`` gave an order to what today's rule says.

    ``wanted`` has the grants of that rule alone, before refunds. ``number`` counts the order's adjustments.
    """

    rule: str
    number: int
    wanted: tuple[Grant, ...] = ()


class Standing(Struct, frozen=True, kw_only=True):
    """Everything that the ledger holds for one fact: the fact's own claim first, then the linked claims.

    Linked claims are take-backs, adjustments, later instalments, and the bonuses of ``once_per`` rules that
    this fact earned.
    ``taken`` leaves out what adjustments changed, and ``adjusted`` counts them. ``elsewhere`` holds bonuses
    that another fact earned for the same customer. They explain why this fact earns none.
    ``refund`` is the highest refund seen, ``disputes`` are the lost ones, and ``shown`` is what a webhook
    showed the order to be, even if nothing has been credited yet.
    """

    subject: str
    claims: tuple[Claim, ...] = ()
    elsewhere: tuple[Claim, ...] = ()
    refund: Refund | None = None
    disputes: tuple[Dispute, ...] = ()
    taken: Taken = field(default_factory=dict)
    adjusted: int = 0
    shown: Shown | None = None
    period: PaidPeriod | None = None
    """The period that the order has paid, if later instalments follow in it."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """How many instalments were claimed, the first included, by meter; only where there are several."""
    ended: Mapping[str, str] = field(default_factory=dict)
    """Why no further instalment follows, by meter, where an instalment has found that out."""
    waits: Mapping[str, str] = field(default_factory=dict)
    """Why the next instalment has to wait, by meter, where one has found that out."""
    superseded: Mapping[str, str] = field(default_factory=dict)
    """The later order of the same subscription that began instalments, by meter."""
    superseded_at: Mapping[str, datetime] = field(default_factory=dict)
    """When that order was created."""
    is_capped: bool = False
    """Whether the customer has had the offer as often as one customer can, so that it is not given again."""
    dismissed_with: str = ""
    """The delivery with which a person has dismissed the fact; empty if nobody has."""

    @property
    def own(self) -> Claim | None:
        """Return the claim of the fact itself, which froze the whole plan; None if nothing was claimed."""
        return self.claims[0] if self.claims and self.claims[0].subject == self.subject else None

    @property
    def is_dismissed(self) -> bool:
        """Return whether nothing more is sent of the fact, because a person has dismissed it."""
        if not self.dismissed_with:
            return False
        is_complete = self.own is not None and not any(
            claim.unsettled for claim in self.claims if not has_own_delivery(claim.subject)
        )
        return not is_complete

    @property
    def instalments(self) -> tuple[Claim, ...]:
        """Return the later instalments that were claimed; the first is part of the fact's own claim."""
        return tuple(claim for claim in self.claims if is_instalment(claim.subject))

    @property
    def open_instalment(self) -> Claim | None:
        """Return a later instalment that Polar lacks; None if there is none, or a person has dismissed it."""
        return next((one for one in self.instalments if one.unsettled and not one.is_dismissed), None)

    def instalment(self, number: int, meter: str) -> Claim | None:
        """Return the claim of a later instalment; None if it was not claimed."""
        subject = instalment_subject(order_of(self.subject) or "", number, meter)
        return next((claim for claim in self.claims if claim.subject == subject), None)

    def every(self, meter: str) -> Every | None:
        """Return how often the fact's own claim is followed by instalments on ``meter``."""
        grants = self.own.grants if self.own else ()
        parts = (part for grant in grants if grant.meter == meter for part in grant.parts)
        return next((part.every for part in parts if part.every), None)

    @property
    def adjustments(self) -> tuple[Claim, ...]:
        """Return the adjustments of the fact's own claim."""
        return tuple(claim for claim in self.claims if is_adjustment(claim.subject))

    @property
    def open_adjustment(self) -> Claim | None:
        """Return the adjustment that Polar lacks; None if there is none, or a person has dismissed it."""
        if not self.adjusted:
            return None
        last = adjust_subject(order_of(self.subject) or "", self.adjusted)
        found = (claim for claim in self.claims if claim.subject == last)
        return next((claim for claim in found if claim.unsettled and not claim.is_dismissed), None)

    @property
    def is_credited(self) -> bool:
        """Return whether Polar has all grants of the fact's own claim, with the ledger's amounts."""
        return self.own is not None and not self.own.unsettled and not self.unconfirmed

    @property
    def can_be_taken_back(self) -> bool:
        """Return whether Polar has everything that a take-back takes from, with adjustments and instalments.

        Until then nothing is taken back: what Polar has less of than the ledger would become a debt.
        """
        return self.is_credited and self.open_adjustment is None and self.open_instalment is None

    @property
    def unconfirmed(self) -> tuple[Claim, ...]:
        """Return the fact's own claim, its instalments and its corrections, where Polar may have others."""
        return tuple(
            claim
            for claim in self.claims
            if claim.unconfirmed and (claim.subject == self.subject or has_own_delivery(claim.subject))
        )

    def claims_to_send(self, *, takes_back: bool) -> tuple[Claim, ...]:
        """Return the claims whose grants a delivery of this fact sends until Polar confirms them.

        A refund or a revoke sends take-backs alone: it must not be what credits an order. Later instalments
        have deliveries of their own.
        """
        if takes_back or self.is_dismissed or self.is_capped:
            kept = []
        else:
            kept = [claim for claim in self.claims if not has_own_delivery(claim.subject)]
        take_backs = [one for one in self.claims if is_take_back(one.subject) and not one.is_dismissed]
        return (*kept, *take_backs) if take_backs and self.can_be_taken_back else tuple(kept)

    def adjustments_to_send(self, number: int) -> tuple[Claim, ...]:
        """Return the adjustment with this number, if Polar lacks it and nothing has replaced it."""
        last = self.open_adjustment
        return (last,) if last and number == self.adjusted and self.is_credited else ()


class Claimed(NamedTuple):
    """What the ledger has after a claim, in the order of the plans.

    ``may_ask`` is None if no request to Polar was taken with the claim; else it says whether one may be made.
    """

    standings: list[Standing]
    may_ask: bool | None
