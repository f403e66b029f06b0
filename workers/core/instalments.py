"""Decides whether a later instalment of an order is given now, later or never, and how much of it."""

from datetime import datetime, timedelta
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from workers.core.claims import Claim, Standing
from workers.core.grants import Grant, Part, instalment_subject, order_of, order_subject, revoke_subject
from workers.core.later_claims import Instalment
from workers.core.refunds import reversed_units
from workers.core.schedule import count, instalment_at
from workers.core.wording import utc

# No webhook has this type, and the receiver would not store one that did.
INSTALMENT = "credits.instalment"

LOOKED_AT_EVERY = timedelta(days=1)

_REVOKING = "a revoke by hand is not at Polar yet"

_LONGEST_REASON = 64  # a longer value in a hash takes Redis several times the memory
_LONGEST_STATUS = 40

_PAID_STATES = frozenset({"active", "trialing"})
_ENDED_STATES = frozenset({"canceled", "incomplete_expired"})


class InstalmentRequest(Struct, frozen=True, kw_only=True):
    """An instalment that is due: ``number`` counts from 2.

    The subscription and the product are those of the order that began the instalments.
    """

    order_id: str
    number: int
    meter: str
    customer_id: str
    subscription_id: str
    product_id: str

    @property
    def subject(self) -> str:
        """Return the subject of the instalment, which is its key as well."""
        return instalment_subject(self.order_id, self.number, self.meter)

    @property
    def order_subject(self) -> str:
        """Return the subject of the order that began the instalments."""
        return order_subject(self.order_id)


class SubscriptionState(Struct, frozen=True, kw_only=True):
    """What Polar shows of a subscription, as far as it decides about instalments."""

    status: str
    product_id: str | None
    ended_at: datetime | None = None


class Give(Struct, frozen=True, kw_only=True):
    """The instalment is to be claimed and sent now."""

    instalment: Instalment


class Wait(Struct, frozen=True, kw_only=True):
    """The instalment is looked at again at ``until``."""

    until: datetime
    reason: str
    is_early: bool = False
    """Whether only its date has not come."""


class End(Struct, frozen=True, kw_only=True):
    """Neither this instalment nor a later one of the same order and meter is given."""

    reason: str


Decision = Give | Wait | End


def decide_instalment(
    request: InstalmentRequest,
    standing: Standing,
    state: SubscriptionState | None,
    polar_now: datetime,
    delivery_id: str = "",
) -> Decision:
    """Return what becomes of an instalment that is not claimed yet.

    ``standing`` is the order's, ``state`` is its subscription's at ``polar_now``, which is Polar's own time;
    None if Polar does not find the subscription.
    """
    grant = _own_grant(request.meter, standing)
    if grant is None or standing.period is None:
        return Wait(until=polar_now + LOOKED_AT_EVERY, reason="the ledger has lost its order's claim")
    at = instalment_date(standing, request.meter, request.number)
    if reason := why_ended(standing, request.meter, at) or _why_over(standing, request):
        return End(reason=reason)
    if at is None or polar_now < at:
        until = at or polar_now + LOOKED_AT_EVERY
        return Wait(until=until, reason=f"not before {utc(until)}", is_early=at is not None)
    if any(one.unsettled and not one.is_dismissed for one in _revokes(standing, request.meter)):
        return Wait(until=polar_now + LOOKED_AT_EVERY, reason=_REVOKING)  # a person may dismiss it
    return _by_subscription(state, request, polar_now) or Give(
        instalment=_instalment(request, standing, grant, delivery_id)
    )


def why_ended(standing: Standing, meter: str, at: datetime | None = None) -> str:
    """Return why an order has no further instalments on ``meter``; empty if the ledger has no reason.

    ``at`` is when the instalment in question was due: a later order does not end what was due before it.
    """
    later = standing.superseded.get(meter)
    dismissed = f"dismissed with delivery {standing.dismissed_with}"[:_LONGEST_REASON]
    reasons = {
        standing.ended.get(meter, ""): meter in standing.ended,
        dismissed: standing.is_dismissed,
        "the order was refunded in full": standing.refund is not None and standing.refund.share == 1,
        "a dispute of the order was lost": bool(standing.disputes),
        "revoked by hand": any(one.settled for one in _revokes(standing, meter)),
        f"replaced by order {later}": later is not None and not _was_due_before(standing, meter, at),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _revokes(standing: Standing, meter: str) -> list[Claim]:
    """Return what was revoked by hand on ``meter``: one claim, or none."""
    subject = revoke_subject(order_of(standing.subject) or "", meter)
    return [claim for claim in standing.claims if claim.subject == subject]


def _was_due_before(standing: Standing, meter: str, at: datetime | None) -> bool:
    """Return whether an instalment was due before the later order, and is late for no reason of Polar's."""
    since = standing.superseded_at.get(meter)
    return at is not None and since is not None and at < since and meter not in standing.waits


def instalment_date(standing: Standing, meter: str, number: int) -> datetime | None:
    """Return when an instalment is due; None if the order has no instalments on ``meter``."""
    every = standing.every(meter)
    if standing.period is None or every is None:
        return None
    return instalment_at(standing.period, every, number)


def instalment_parts(grant: Grant, refunded: Fraction, disputed: Fraction) -> tuple[Part, ...]:
    """Return what an instalment gives: the parts that are repeated, less what these shares take of each."""
    repeated = replace(grant, parts=tuple(part for part in grant.parts if part.every))
    taken = dict(reversed_units(repeated, refunded, disputed))
    parts = (replace(one, units=one.units - taken.get(one.rule, 0)) for one in repeated.parts)
    return tuple(part for part in parts if part.units)


def _own_grant(meter: str, standing: Standing) -> Grant | None:
    grants = standing.own.grants if standing.own else ()
    return next((grant for grant in grants if grant.meter == meter), None)


def _why_over(standing: Standing, request: InstalmentRequest) -> str:
    every = standing.every(request.meter)
    if every is None:
        return "the order has no instalments on this meter"
    if standing.period is not None and request.number > count(standing.period, every):
        return "the paid period is over"
    return ""


def _by_subscription(
    state: SubscriptionState | None, request: InstalmentRequest, polar_now: datetime
) -> Decision | None:
    """Return what the subscription's state makes of the instalment; None if it can be given."""
    tomorrow = polar_now + LOOKED_AT_EVERY
    if state is None:
        return Wait(until=tomorrow, reason="Polar does not find the subscription")
    if state.ended_at is not None or state.status in _ENDED_STATES:
        at = f" at {utc(state.ended_at)}" if state.ended_at else ""
        return End(reason=f"the subscription ended{at}")
    if state.product_id != request.product_id:
        return End(reason="the subscription has another product")
    if state.status not in _PAID_STATES:
        return Wait(until=tomorrow, reason=f"the subscription is {state.status[:_LONGEST_STATUS]}")
    return None


def _instalment(request: InstalmentRequest, standing: Standing, grant: Grant, delivery_id: str) -> Instalment:
    refunded = standing.refund.share if standing.refund else Fraction(0)
    disputed = sum((one.share for one in standing.disputes), Fraction(0))
    parts = instalment_parts(grant, refunded, disputed)
    return Instalment(
        delivery_id=delivery_id,
        subject=standing.subject,
        grant=replace(grant, subject=request.subject, parts=parts, period=None),
        number=request.number,
        computed_from=grant,
        refund=standing.refund,
        disputes=standing.disputes,
        taken=standing.taken.get(request.meter, {}),
    )
