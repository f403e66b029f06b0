"""Tells a storefront how far the credits of one order, or of one offer, have come."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct, field

from workers.core.adjust_delivery import MANUAL_ADJUST
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.dispute_delivery import DISPUTE_LOST
from workers.core.envelope import ORDER_REFUNDED
from workers.core.grants import Grant, has_own_delivery
from workers.core.instalments import INSTALMENT
from workers.core.manual import MANUAL_REVOKE
from workers.core.take_back_delivery import TAKE_BACK
from workers.core.upcoming import Upcoming

Amounts = Mapping[str, Decimal]
"""Credits by meter, positive."""


# What became of these says nothing about the credits of an order's own claim.
_LATER = frozenset({ORDER_REFUNDED, DISPUTE_LOST, TAKE_BACK, MANUAL_REVOKE, MANUAL_ADJUST, INSTALMENT})


class CreditStatus(StrEnum):
    """How far credits have come."""

    UNKNOWN = "unknown"
    """No worker has read a webhook about them yet."""
    WAITING = "waiting"
    """They are on their way to Polar."""
    GRANTED = "granted"
    """Polar has confirmed all of them."""
    SKIPPED = "skipped"
    """There are none, for the reason given."""
    FAILED = "failed"
    """They, or some of them, could not be granted, for the reason given."""

    @property
    def is_settled(self) -> bool:
        """Return whether nothing more happens by itself."""
        return self not in {CreditStatus.UNKNOWN, CreditStatus.WAITING}


class CreditState(Struct, frozen=True, kw_only=True):
    """What Polar has confirmed of some credits, and what became of the rest."""

    status: CreditStatus
    reason: str | None = None
    """Why there are none, or why they failed."""
    credits: Amounts = field(default_factory=dict)
    """What was given, by the order's own grants, by later instalments and by adjustments."""
    taken_back: Amounts = field(default_factory=dict)
    """What of it was taken back."""
    granted_at: datetime | None = None
    """When Polar confirmed the newest of its own grants; later claims do not count."""
    upcoming: tuple[Upcoming, ...] = ()
    """The instalments of an order that are to come."""


def credit_state(claims: Sequence[Claim], deliveries: Sequence[Delivery]) -> CreditState:
    """Return the state of what ``claims`` give and take back.

    ``deliveries`` are those about the same order or offer, in any order.
    """
    given = [claim for claim in claims if not has_own_delivery(claim.subject)]
    settled = list(_settled(claims))
    status, reason = _status(given, [one for one in deliveries if one.type not in _LATER])
    return CreditState(
        status=status,
        reason=reason,
        credits=_sums(one for one in settled if one.units > 0),
        taken_back=_sums(one for one in settled if one.units < 0),
        granted_at=max((at for claim in given for at in claim.settled.values()), default=None),
    )


def _status(given: Sequence[Claim], deliveries: Sequence[Delivery]) -> tuple[CreditStatus, str | None]:
    if given and not any(claim.unsettled for claim in given):
        return CreditStatus.GRANTED, None
    newest = max(deliveries, key=_moment, default=None)
    if any(one.status is Status.WAITING for one in deliveries):
        return CreditStatus.WAITING, None
    if newest is not None and newest.status in {Status.SKIPPED, Status.FAILED}:
        return CreditStatus(newest.status), newest.reason
    return (CreditStatus.WAITING if given else CreditStatus.UNKNOWN), None


def _moment(delivery: Delivery) -> datetime:
    return delivery.settled_at or delivery.received_at


def _settled(claims: Iterable[Claim]) -> Iterator[Grant]:
    return (grant for claim in claims for grant in claim.grants if grant.meter in claim.settled)


def _sums(grants: Iterable[Grant]) -> Amounts:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for grant in grants:
        sums[grant.meter] += abs(grant.units)
    return dict(sums)
