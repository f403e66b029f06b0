"""Decides how many of an order's credits are taken back: a share by refunds and disputes, or all by hand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from workers.core.adjusted import credited, minus, plus
from workers.core.begun import begun, most_rounded_off, taken_in_all, taken_otherwise
from workers.core.claims import REBUILD, Claim, Dispute, Refund, Revoke, Standing, Taken
from workers.core.grants import Grant, Part, dispute_subject, is_take_back, refund_subject, revoke_subject
from workers.core.later_claims import TakeBack
from workers.core.refunds import finest_share, reversed_units

_TAKE_BACK_DISMISSED = "its take-back was dismissed: only a replay by its delivery's id sends it"

_ADJUSTING = "an adjustment of this order is not at Polar yet"

_IN_PROGRESS = "an instalment of this order is not at Polar yet"

_UNCONFIRMED = "Polar may have other amounts of this order's credits than the ledger"


def due_take_backs(standing: Standing, delivery_id: str, revoke: Revoke | None = None) -> list[TakeBack]:
    """Return what is still to be taken back: after refunds and disputes, and by hand with ``revoke``."""
    reversing = reversals(standing, delivery_id)
    if revoke is None:
        return reversing
    taken = dict(standing.taken)
    for one in reversing:
        taken |= one.after
    return [*reversing, *_revoke_take_backs(revoke, replace(standing, taken=taken), delivery_id)]


def reversals(standing: Standing, delivery_id: str) -> list[TakeBack]:
    """Return what is still to be taken back after the highest refund and the disputes seen, one by one.

    Each has a key of its own, under which it takes what all of them so far take, less what was taken before.
    So what is taken in the end does not depend on which came first, and adds up to one share of at most 1.
    """
    found: list[TakeBack] = []
    if not standing.can_be_taken_back:
        return found
    taken, used = standing.taken, {one.subject for one in standing.claims}
    disputed = sum((one.share for one in standing.disputes if dispute_subject(one.id) in used), Fraction(0))
    for subject, share in _reversing(standing):
        if subject in used:
            continue
        disputed += share
        if due := _reversal_due(standing, subject, disputed, taken):
            found.append(replace(due, delivery_id=delivery_id))
            taken = {**taken, **due.after}
    return found


def has_open_take_backs(standing: Standing) -> bool:
    """Return whether Polar lacks a take-back: one that is due, or one that was claimed and held back."""
    taking = [one for one in standing.claims if is_take_back(one.subject) and not one.is_dismissed]
    is_held = standing.can_be_taken_back and any(one.unsettled for one in taking)
    return is_held or bool(reversals(standing, REBUILD))


def is_reversal_incomplete(standing: Standing) -> bool:
    """Return whether refunds and disputes took less than their share, though all their keys are used.

    What instalments give more because their shares are rounded does not count.
    """
    used = {one.subject for one in standing.claims}
    subjects = [subject for subject, _ in _reversing(standing)]
    if not subjects or not used.issuperset(subjects):
        return False
    disputed = sum((one.share for one in standing.disputes), Fraction(0))
    due = _reversal_due(standing, subjects[0], disputed, standing.taken)
    return due is not None and any(-one.units > most_rounded_off(standing, one.meter) for one in due.grants)


def why_none_due(
    standing: Standing, refund: Refund | None, revoke: Revoke | None, dispute: Dispute | None = None
) -> str:
    """Return why nothing is taken back after a refund or a dispute, or by hand if ``revoke`` is given.

    If a person has dismissed the fact, nothing is granted either.
    """
    if standing.is_dismissed:
        return _why_dismissed(standing)
    if revoke is not None:
        return _why_no_revoke(standing, revoke)
    refund = refund or standing.refund
    if dispute is not None or (refund is None and standing.disputes):
        return _why_none_disputed(standing)
    return _why_no_refund(standing, refund)


def _why_dismissed(standing: Standing) -> str:
    """Return why nothing is sent of a fact that a person has dismissed, and what to do if it should be."""
    delivery_id = standing.dismissed_with
    return f"dismissed with delivery {delivery_id}: only `credits replay {delivery_id}` credits it"


def _reversing(standing: Standing) -> Iterator[tuple[str, Fraction]]:
    """Yield the subject of the highest refund and of each lost dispute, with the disputed share it adds."""
    claim = standing.own
    if claim is None or claim.order_id is None:
        return
    if standing.refund is not None:
        yield refund_subject(claim.order_id, standing.refund.amount), Fraction(0)
    for one in sorted(standing.disputes, key=lambda each: each.id):
        yield dispute_subject(one.id), one.share


def _reversal_due(standing: Standing, subject: str, disputed: Fraction, taken: Taken) -> TakeBack | None:
    claim = standing.own
    if claim is None:
        return None
    refunded = standing.refund.share if standing.refund else Fraction(0)
    otherwise = taken_otherwise(standing)
    before, given = plus(taken, otherwise), begun(standing)
    finest = {grant.meter: finest_share(grant.parts) for grant in credited(standing)}
    after = {
        grant.meter: _taken_after(
            before.get(grant.meter, {}), reversed_units(grant, refunded, disputed, finest[grant.meter])
        )
        for grant in given
    }
    grants = tuple(_reversal_grants(given, subject, before, after))
    if not grants:
        return None
    return TakeBack(
        delivery_id="",
        subject=standing.subject,
        grants=grants,
        before=taken,
        after=minus({meter: rules for meter, rules in after.items() if rules}, otherwise),
        computed_from=claim.grants,
        adjusted=standing.adjusted,
        begun=standing.begun,
    )


def _taken_after(before: Mapping[str, Decimal], shares: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Return the new totals by rule. No total is lower than before, because a person may have taken more."""
    return dict(before) | {rule: max(units, before.get(rule, units)) for rule, units in shares}


def _reversal_grants(given: Sequence[Grant], subject: str, before: Taken, after: Taken) -> Iterator[Grant]:
    for grant in given:
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
                order_id=grant.order_id,
            )


def _revoke_take_backs(revoke: Revoke, standing: Standing, delivery_id: str) -> Iterator[TakeBack]:
    """Yield one take-back for each meter: all that is left of each part, revocable or not."""
    otherwise, own = taken_otherwise(standing), standing.own
    if own is None or not standing.can_be_taken_back:
        return
    for grant in _revoked_grants(revoke, standing):
        subject = revoke_subject(grant.order_id or "", grant.meter)
        taken = taken_in_all(standing).get(grant.meter, {})
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
                before={grant.meter: standing.taken.get(grant.meter, {})},
                after=minus({grant.meter: {part.rule: part.units for part in grant.parts}}, otherwise),
                computed_from=tuple(one for one in own.grants if one.meter == grant.meter),
                adjusted=standing.adjusted,
                begun=standing.begun,
            )


def _revoked_grants(revoke: Revoke, standing: Standing) -> list[Grant]:
    own = begun(standing) if standing.own and standing.own.order_id else ()
    return [grant for grant in own if revoke.meter in {None, grant.meter}]


def _why_no_refund(standing: Standing, refund: Refund | None) -> str:
    if refund is None:
        return "this order has not been refunded"
    own = standing.own
    if own is None or not standing.can_be_taken_back:
        return _not_yet(standing, "refund")
    if not any(part.revocable for grant in credited(standing) for part in grant.parts):
        return "no rule that credited this order takes credits back (on_refund: revoke)"
    if any(claim.is_dismissed for claim in standing.claims):
        return _TAKE_BACK_DISMISSED
    if standing.refund is not None and standing.refund.amount > refund.amount:
        return f"a later refund, {standing.refund.amount} in total, has already been processed"
    return "the refunded share has already been taken back"


def _why_none_disputed(standing: Standing) -> str:
    own = standing.own
    if own is None or not standing.can_be_taken_back:
        return _not_yet(standing, "dispute")
    if not any(part.disputable for grant in credited(standing) for part in grant.parts):
        return "no rule that credited this order takes credits back (on_dispute: revoke)"
    if any(claim.is_dismissed for claim in standing.claims):
        return _TAKE_BACK_DISMISSED
    return "the disputed share has already been taken back"


def _not_yet(standing: Standing, what: str) -> str:
    if standing.unconfirmed:
        return f"{_UNCONFIRMED}: the {what} counts when they are confirmed"
    if standing.open_adjustment:
        return f"{_ADJUSTING}: the {what} counts when it is"
    if standing.open_instalment:
        return f"{_IN_PROGRESS}: the {what} counts when it is"
    state = "has not been credited" if standing.own is None else "is not credited at Polar"
    return f"this order {state} yet: the {what} counts when the order is credited"


def _why_no_revoke(standing: Standing, revoke: Revoke) -> str:
    own = standing.own
    if own is None:
        return "this order has not been credited"
    if standing.unconfirmed:
        return f"{_UNCONFIRMED}: see `credits status`"
    if not standing.can_be_taken_back:
        return _what_is_missing(standing, own)
    if not (grants := _revoked_grants(revoke, standing)):
        return f"this order has no credits on {revoke.meter or 'any meter'} except bonuses (once_per)"
    revoked = {revoke_subject(own.order_id or "", grant.meter) for grant in grants}
    if any(claim.is_dismissed and claim.subject in revoked for claim in standing.claims):
        return _TAKE_BACK_DISMISSED
    return "all of this order's credits have already been taken back"


def _what_is_missing(standing: Standing, own: Claim) -> str:
    """Return what of an order Polar lacks, so that nothing can be taken back yet."""
    what, claim = "this order is not credited at Polar yet", own
    if standing.open_adjustment:
        what, claim = _ADJUSTING, standing.open_adjustment
    elif standing.open_instalment:
        what, claim = _IN_PROGRESS, standing.open_instalment
    return f"{what} (see `credits show {claim.delivery_id}`)"
