"""PURE: what a person takes back of an order's credits: all that is left, whatever rules say of refunds."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from workers.core import refunds
from workers.core.claims import Revoke, Standing, TakeBack
from workers.core.grants import Grant, Part, revoke_subject
from workers.core.planning import Plan


def take_backs(plan: Plan, standing: Standing, delivery_id: str) -> list[TakeBack]:
    """Return all that is still to be taken back, after refunds and by hand."""
    refunded = refunds.take_back(standing, delivery_id)
    by_hand = _revoked(plan.revoke, standing, delivery_id) if plan.revoke else ()
    return [*([refunded] if refunded else []), *by_hand]


def nothing_to_take(plan: Plan, standing: Standing) -> str:
    """Return why nothing is taken back (any more)."""
    if plan.revoke is None:
        return refunds.nothing_to_take(standing, plan.refund)
    if standing.own is None:
        return "this order has not been credited"
    if not _granted(plan.revoke, standing):
        return f"this order was credited nothing on {plan.revoke.meter or 'any meter'} but bonuses (once_per)"
    return "all that this order was credited has been taken back already"


def _revoked(revoke: Revoke, standing: Standing, delivery_id: str) -> Iterator[TakeBack]:
    """Yield what is taken on each meter: what is left of every part, revocable or not."""
    for grant in _granted(revoke, standing):
        subject = revoke_subject(grant.order_id or "", grant.meter)
        taken = standing.taken.get(grant.meter, {})
        parts = tuple(
            Part(rule=part.rule, units=-left)
            for part in grant.parts
            if (left := part.units - taken.get(part.rule, Decimal(0))) > 0
        )
        if parts and not any(claim.subject == subject for claim in standing.claims):
            yield TakeBack(
                delivery_id=delivery_id,
                subject=standing.subject,
                grants=(replace(grant, subject=subject, parts=parts),),
                before={grant.meter: taken},
                after={grant.meter: {part.rule: part.units for part in grant.parts}},
                of=(grant,),
            )


def _granted(revoke: Revoke, standing: Standing) -> list[Grant]:
    own = standing.own.grants if standing.own and standing.own.order_id else ()
    return [grant for grant in own if revoke.meter in {None, grant.meter}]
