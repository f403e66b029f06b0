"""Defines what the core and the stores exchange: what the ledger holds for a fact, and changes to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from workers.core.grants import Grant, adjust_subject, is_adjustment, is_correction, is_take_back, order_of

# Replaces the delivery's id in a claim that was rebuilt, because Polar does not know the delivery.
REBUILD = "rebuild"


Taken = Mapping[str, Mapping[str, Decimal]]
"""Credits taken back from an order so far, by meter and rule; positive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
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
    """Whether a person has dismissed the delivery of this take-back or adjustment."""

    @property
    def unsettled(self) -> tuple[Grant, ...]:
        """Return the grants that Polar has not confirmed."""
        return tuple(grant for grant in self.grants if grant.meter not in self.settled)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
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
        """Return whether Polar confirmed a grant on ``meter``, at ``since`` or later."""
        at = self.granted_at
        return self.grant.meter == meter and at is not None and (since is None or at >= since)


class Shown(StrEnum):
    """What a webhook showed an order to be. It stays that, whatever Polar shows of it later."""

    FINAL_INVOICE = "final"
    TRIAL_START = "trial"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refund:
    """All refunds of an order so far: ``amount`` in cents without tax, ``share`` of the price from 0 to 1."""

    amount: int
    share: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispute:
    """A dispute of an order that was lost: its ``share`` of the price without tax, from 0 to 1."""

    id: str
    share: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Revoke:
    """A person's request to take back an order's credits on ``meter``; on all meters if that is None."""

    meter: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjust:
    """A person's request to bring what ``rule`` gave an order to what today's rule says.

    ``wanted`` has the grants of that rule alone, before refunds. ``number`` counts the order's adjustments.
    """

    rule: str
    number: int
    wanted: tuple[Grant, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Everything that the ledger holds for one fact: the fact's own claim first, then the linked claims.

    Linked claims are take-backs, adjustments, and the bonuses of ``once_per`` rules that this fact earned.
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
    is_capped: bool = False
    """Whether the customer has had the offer as often as one customer can, so that it is not given again."""
    dismissed_with: str = ""
    """The delivery with which a person has dismissed the fact; empty if nobody has."""

    @property
    def own(self) -> Claim | None:
        """Return the claim of the fact itself, which froze the whole plan; None if nothing was claimed."""
        return next((claim for claim in self.claims if claim.subject == self.subject), None)

    @property
    def is_dismissed(self) -> bool:
        """Return whether nothing more is sent of the fact, because a person has dismissed it."""
        is_complete = self.own is not None and not any(
            claim.unsettled for claim in self.claims if not is_correction(claim.subject)
        )
        return bool(self.dismissed_with) and not is_complete

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
        """Return whether Polar has everything that a take-back takes from, adjustments included.

        Until then nothing is taken back: what Polar has less of than the ledger would become a debt.
        """
        return self.is_credited and self.open_adjustment is None

    @property
    def unconfirmed(self) -> tuple[Claim, ...]:
        """Return the fact's own claim and its corrections, as far as Polar may have other amounts of them."""
        return tuple(
            claim
            for claim in self.claims
            if claim.unconfirmed and (claim.subject == self.subject or is_correction(claim.subject))
        )

    def claims_to_send(self, *, takes_back: bool) -> tuple[Claim, ...]:
        """Return the claims whose grants a delivery of this fact sends until Polar confirms them.

        A refund or a revoke sends take-backs alone: it must not be what credits an order.
        """
        if takes_back or self.is_dismissed or self.is_capped:
            kept = []
        else:
            kept = [claim for claim in self.claims if not is_correction(claim.subject)]
        if self.can_be_taken_back:
            kept += [claim for claim in self.claims if is_take_back(claim.subject) and not claim.is_dismissed]
        return tuple(kept)

    def adjustments_to_send(self, number: int) -> tuple[Claim, ...]:
        """Return the adjustment with this number, if Polar lacks it and nothing has replaced it."""
        last = self.open_adjustment
        return (last,) if last and number == self.adjusted and self.is_credited else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeBack:
    """Negative grants that take credits back, after a refund or a lost dispute, or by hand.

    ``before`` and ``after`` are the totals taken on these meters. The ledger writes the take-back only if its
    total is still ``before``.
    """

    delivery_id: str
    subject: str
    grants: tuple[Grant, ...]
    before: Taken
    after: Taken
    computed_from: tuple[Grant, ...] = ()
    """The grants behind the take-back. If a rebuild has since corrected them, the ledger writes nothing."""
    adjusted: int = 0
    """How many adjustments it was computed from. If there are more by now, the ledger writes nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjustment:
    """Grants that bring an order's credits to other amounts: positive or negative ones.

    ``adjusted`` is how many adjustments the order has with this one, ``before`` how many without. The ledger
    writes it only if that is still so, and the totals ``taken`` on these meters are the same.
    """

    delivery_id: str
    subject: str
    grants: tuple[Grant, ...]
    before: int
    adjusted: int
    taken: Taken
    computed_from: tuple[Grant, ...] = ()
