"""Decides how many of an order's credits are taken back: a refund's share, or by hand all that are left."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from workers.core.claims import Claim, Refund, Revoke, Standing, TakeBack, Taken
from workers.core.grants import Grant, Part, refund_subject, revoke_subject
from workers.core.refunds import refunded_units


def due_take_backs(standing: Standing, delivery_id: str, revoke: Revoke | None = None) -> list[TakeBack]:
    """Return what is still to be taken back: after refunds, and by hand if ``revoke`` is given."""
    refunded = refund_take_back(standing, delivery_id)
    by_hand = _revoke_take_backs(revoke, standing, delivery_id) if revoke else ()
    return [*([refunded] if refunded else []), *by_hand]


def refund_take_back(standing: Standing, delivery_id: str) -> TakeBack | None:
    """Return what is still to be taken back after the highest refund seen; None if nothing is by now."""
    if not standing.can_be_taken_back or _is_refund_taken(standing):
        return None
    return _refund_due(standing, delivery_id)


def is_refund_incomplete(standing: Standing) -> bool:
    """Return whether the last refund took less than its share. Its key is used, so no more can follow."""
    return _is_refund_taken(standing) and _refund_due(standing, "") is not None


def why_none_due(standing: Standing, refund: Refund | None, revoke: Revoke | None) -> str:
    """Return why nothing is taken back after a refund, or by hand if ``revoke`` is given.

    If a person has dismissed the fact, nothing is granted either.
    """
    if standing.is_dismissed:
        return _why_dismissed(standing)
    if revoke is not None:
        return _why_no_revoke(standing, revoke)
    return _why_no_refund(standing, refund or standing.refund)


def _why_dismissed(standing: Standing) -> str:
    """Return why nothing is sent of a fact that a person has dismissed, and what to do if it should be."""
    delivery_id = standing.dismissed_with
    return f"dismissed with delivery {delivery_id}: only `credits replay {delivery_id}` credits it"


def _is_refund_taken(standing: Standing) -> bool:
    claim, refund = standing.own, standing.refund
    if claim is None or claim.order_id is None or refund is None:
        return False
    subject = refund_subject(claim.order_id, refund.amount)
    return any(one.subject == subject for one in standing.claims)


def _refund_due(standing: Standing, delivery_id: str) -> TakeBack | None:
    claim, refund = standing.own, standing.refund
    if claim is None or claim.order_id is None or refund is None:
        return None
    subject = refund_subject(claim.order_id, refund.amount)
    after = {grant.meter: _taken_after(standing.taken, grant, refund.share) for grant in claim.grants}
    grants = tuple(_refund_grants(claim, subject, standing.taken, after))
    if not grants:
        return None
    return TakeBack(
        delivery_id=delivery_id,
        subject=standing.subject,
        grants=grants,
        before=standing.taken,
        after={meter: rules for meter, rules in after.items() if rules},
        computed_from=claim.grants,
    )


def _taken_after(taken: Taken, grant: Grant, share: Fraction) -> dict[str, Decimal]:
    """Return the new totals by rule. No total is lower than before, because a person may have taken more."""
    before = dict(taken.get(grant.meter, {}))
    targets = {rule: max(units, before.get(rule, units)) for rule, units in refunded_units(grant, share)}
    return before | targets


def _refund_grants(claim: Claim, subject: str, before: Taken, after: Taken) -> Iterator[Grant]:
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


def _revoke_take_backs(revoke: Revoke, standing: Standing, delivery_id: str) -> Iterator[TakeBack]:
    """Yield one take-back for each meter: all that is left of each part, revocable or not."""
    for grant in _revoked_grants(revoke, standing) if standing.can_be_taken_back else ():
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
                computed_from=(grant,),
            )


def _revoked_grants(revoke: Revoke, standing: Standing) -> list[Grant]:
    own = standing.own.grants if standing.own and standing.own.order_id else ()
    return [grant for grant in own if revoke.meter in {None, grant.meter}]


def _why_no_refund(standing: Standing, refund: Refund | None) -> str:
    if refund is None:
        return "this order has not been refunded"
    own = standing.own
    if own is None or not standing.can_be_taken_back:
        state = "has not been credited" if own is None else "is not credited at Polar"
        return f"this order {state} yet: the refund counts when the order is credited"
    if not any(part.revocable for grant in own.grants for part in grant.parts):
        return "no rule that credited this order takes credits back (on_refund: revoke)"
    if any(claim.is_dismissed for claim in standing.claims):
        return "its take-back was dismissed: only a replay by its delivery's id sends it"
    if standing.refund is not None and standing.refund.amount > refund.amount:
        return f"a later refund, {standing.refund.amount} in total, has already been processed"
    return "the refunded share has already been taken back"


def _why_no_revoke(standing: Standing, revoke: Revoke) -> str:
    if standing.own is None:
        return "this order has not been credited"
    if not standing.can_be_taken_back:
        return f"this order is not credited at Polar yet (see `credits show {standing.own.delivery_id}`)"
    if not _revoked_grants(revoke, standing):
        return f"this order has no credits on {revoke.meter or 'any meter'} except bonuses (once_per)"
    return "all of this order's credits have already been taken back"
