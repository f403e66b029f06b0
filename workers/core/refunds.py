"""PURE: what a refund takes back of what an order was credited."""

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from config.cel.amounts import MOST_DIGITS
from workers.core.claims import Claim, Refund, Standing, TakeBack, Taken
from workers.core.grants import Grant, Part, refund_subject
from workers.core.payloads import Order

# A third of 10 credits goes on for ever; finer than this nobody counts, and the full refund takes the rest.
_FINEST_EXPONENT = -6


def refund_of(order: Order) -> Refund | None:
    """Return what of ``order`` has been refunded; None if nothing was."""
    if order.status == "refunded":
        return Refund(amount=order.refunded_amount, share=Fraction(1))
    if order.refunded_amount == 0:
        return None
    whole = order.net_amount + order.applied_balance_amount
    share = Fraction(order.refunded_amount, whole) if whole > 0 else Fraction(1)
    return Refund(amount=order.refunded_amount, share=min(Fraction(1), share))


def take_back(standing: Standing, delivery_id: str) -> TakeBack | None:
    """Return what is still to be taken back after the highest refund seen; None if nothing is."""
    return None if _has_taken(standing) else _due(standing, delivery_id)


def falls_short(standing: Standing) -> bool:
    """Say whether the last refund took less than its share of what stands by now: by its key no more is."""
    return _has_taken(standing) and _due(standing, "") is not None


def _has_taken(standing: Standing) -> bool:
    claim, refund = standing.own, standing.refund
    if claim is None or claim.order_id is None or refund is None:
        return False
    subject = refund_subject(claim.order_id, refund.amount)
    return any(one.subject == subject for one in standing.claims)


def _due(standing: Standing, delivery_id: str) -> TakeBack | None:
    claim, refund = standing.own, standing.refund
    if claim is None or claim.order_id is None or refund is None:
        return None
    subject = refund_subject(claim.order_id, refund.amount)
    after = {grant.meter: _raised(standing.taken, grant, refund.share) for grant in claim.grants}
    grants = tuple(_clawbacks(claim, subject, standing.taken, after))
    if not grants:
        return None
    return TakeBack(
        delivery_id=delivery_id,
        subject=standing.subject,
        grants=grants,
        before=standing.taken,
        after={meter: rules for meter, rules in after.items() if rules},
        of=claim.grants,
    )


def nothing_to_take(standing: Standing, refund: Refund | None) -> str:
    """Return why a refund takes nothing back (any more)."""
    if refund is None:
        return "nothing of this order has been refunded"
    if standing.own is None:
        return "this order has not been credited; when it is, this refund counts"
    if not any(part.revocable for grant in standing.own.grants for part in grant.parts):
        return "none of the rules that credited this order takes credits back (on_refund: revoke)"
    if standing.refund is not None and standing.refund.amount > refund.amount:
        return f"a later refund, of {standing.refund.amount} all told, has been seen to already"
    return "the refunded share has been taken back already"


def _clawbacks(claim: Claim, subject: str, before: Taken, after: Taken) -> Iterator[Grant]:
    for grant in claim.grants:
        taken = before.get(grant.meter, {})
        parts = tuple(
            Part(rule=rule, units=-(target - taken.get(rule, Decimal(0))))
            for rule, target in after[grant.meter].items()
            if target > taken.get(rule, Decimal(0))
        )
        if parts:
            yield Grant(
                subject=subject,
                customer_id=grant.customer_id,
                meter=grant.meter,
                property_name=grant.property_name,
                parts=parts,
                order_id=claim.order_id,
            )


def _raised(taken: Taken, grant: Grant, share: Fraction) -> dict[str, Decimal]:
    """Return what will have been taken, by rule: never less than before, for a person may have taken more."""
    before = dict(taken.get(grant.meter, {}))
    targets = {rule: max(units, before.get(rule, units)) for rule, units in _targets(grant, share)}
    return before | targets


def _targets(grant: Grant, share: Fraction) -> Iterator[tuple[str, Decimal]]:
    """Yield what is to be taken back in all, by rule: rounded down, but all of it for a share of 1."""
    revocable = [part for part in grant.parts if part.revocable]
    exponent = _exponent([part.units for part in revocable])
    for part in revocable:
        steps = math.floor(Fraction(part.units) * share / Fraction(10) ** exponent)
        yield part.rule, part.units if share == 1 else Decimal(steps).scaleb(exponent)


def _exponent(units: list[Decimal]) -> int:
    """Return the place to round to: what is taken and what is left must stay exact at Polar."""
    total = sum(units, Decimal(0))
    finest = min((int(one.normalize().as_tuple().exponent) for one in units), default=0)
    return max(total.adjusted() - MOST_DIGITS + 1, min(_FINEST_EXPONENT, finest))
