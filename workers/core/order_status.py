"""Tells a storefront how far the credits of one order have come."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from workers.core.claims import Claim, Standing
from workers.core.delivery import Delivery, Status
from workers.core.dispute_delivery import DISPUTE_LOST
from workers.core.envelope import ORDER_REFUNDED
from workers.core.grants import Grant, is_take_back
from workers.core.manual import MANUAL_REVOKE
from workers.core.take_back_delivery import TAKE_BACK

Amounts = Mapping[str, Decimal]
"""Credits by meter, positive."""


# What became of these says nothing about the credits that an order earned.
_TAKING_BACK = frozenset({ORDER_REFUNDED, DISPUTE_LOST, TAKE_BACK, MANUAL_REVOKE})


class OrderStatus(StrEnum):
    """How far the credits of an order have come."""

    UNKNOWN = "unknown"
    """No worker has read a webhook about the order yet."""
    WAITING = "waiting"
    """Its credits are on their way to Polar."""
    GRANTED = "granted"
    """Polar has confirmed all of its credits."""
    SKIPPED = "skipped"
    """It earns no credits, for the reason given."""
    FAILED = "failed"
    """Its credits, or some of them, could not be granted, for the reason given."""

    @property
    def is_settled(self) -> bool:
        """Return whether nothing more happens to the order by itself."""
        return self not in {OrderStatus.UNKNOWN, OrderStatus.WAITING}


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderState:
    """What Polar has confirmed of an order's credits, and what became of the rest."""

    order_id: str
    status: OrderStatus
    reason: str | None = None
    """Why it is skipped or has failed."""
    credits: Amounts = field(default_factory=dict)
    """What was given."""
    taken_back: Amounts = field(default_factory=dict)
    """What of it was taken back."""
    granted_at: datetime | None = None
    """When Polar confirmed the newest of its credits; take-backs do not count."""


def order_state(order_id: str, standing: Standing, deliveries: Sequence[Delivery]) -> OrderState:
    """Return the state of an order.

    ``standing`` is what the ledger holds for the order, ``deliveries`` are those about it in any order.
    """
    given = [claim for claim in standing.claims if not is_take_back(claim.subject)]
    taken = [claim for claim in standing.claims if is_take_back(claim.subject)]
    status, reason = _status(given, [one for one in deliveries if one.type not in _TAKING_BACK])
    return OrderState(
        order_id=order_id,
        status=status,
        reason=reason,
        credits=_sums(_settled(given), sign=1),
        taken_back=_sums(_settled(taken), sign=-1),
        granted_at=max((at for claim in given for at in claim.settled.values()), default=None),
    )


def _status(given: Sequence[Claim], deliveries: Sequence[Delivery]) -> tuple[OrderStatus, str | None]:
    if given and not any(claim.unsettled for claim in given):
        return OrderStatus.GRANTED, None
    newest = max(deliveries, key=_moment, default=None)
    if any(one.status is Status.WAITING for one in deliveries):
        return OrderStatus.WAITING, None
    if newest is not None and newest.status in {Status.SKIPPED, Status.FAILED}:
        return OrderStatus(newest.status), newest.reason
    return (OrderStatus.WAITING if given else OrderStatus.UNKNOWN), None


def _moment(delivery: Delivery) -> datetime:
    return delivery.settled_at or delivery.received_at


def _settled(claims: Iterable[Claim]) -> Iterator[Grant]:
    return (grant for claim in claims for grant in claim.grants if grant.meter in claim.settled)


def _sums(grants: Iterable[Grant], *, sign: int) -> Amounts:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for grant in grants:
        sums[grant.meter] += sign * grant.units
    return dict(sums)
