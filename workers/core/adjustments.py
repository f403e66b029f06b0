"""Decides how an order's credits are adjusted: one rule's part is brought to what today's rule says."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from config.cel.numbers import MAX_DIGITS
from workers.core.adjusted import credited, part_of, taken_back
from workers.core.claims import Adjust, Standing
from workers.core.grants import (
    DISPUTE,
    REFUND,
    REVOKE,
    Grant,
    Part,
    Revision,
    adjust_subject,
    dispute_subject,
    is_take_back,
)
from workers.core.later_claims import Adjustment
from workers.core.plan_checks import inexact_sums
from workers.core.refunds import reversed_units
from workers.core.takebacks import reversals

NOT_CREDITED = "not credited: see `credits replay` and `credits backfill`"
REVOKED = "revoked by hand"
DISMISSED = "dismissed: only a replay by its delivery's id credits it"
UNCONFIRMED = "Polar may have other amounts of its credits than the ledger (`credits status`)"
NOT_AT_POLAR = "not credited at Polar yet"
IN_FLIGHT = "a take-back or an adjustment of it is not at Polar yet"
UNKNOWN_SHARE = "how much of it was refunded or disputed was lost with Redis"
HAS_INSTALMENTS = "it is credited in instalments, which are not adjusted"
NEW_INSTALMENTS = "today's rule gives instalments, which only the claim of an order can begin"
TOO_LONG = "its amounts have too many digits to be taken back exactly"
UNCHANGED = "the rule gave this order what today's rule says"


def why_left_alone(standing: Standing, rule: str) -> str:
    """Return why an order is not adjusted, whatever today's rules say; empty if it can be."""
    merged = f"restored from Polar, which does not record how much rule {rule} gave beside other rules"
    reasons = {
        NOT_CREDITED: standing.own is None,
        HAS_INSTALMENTS: standing.period is not None,
        DISMISSED: bool(standing.dismissed_with),
        REVOKED: any(claim.subject.startswith(REVOKE) for claim in standing.claims),
        UNCONFIRMED: bool(standing.unconfirmed),
        NOT_AT_POLAR: not standing.is_credited,
        IN_FLIGHT: standing.open_adjustment is not None or _has_open_take_back(standing),
        UNKNOWN_SHARE: _is_share_unknown(standing),
        merged: any(part_of(rule, grant.parts) != rule for grant in credited(standing)),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def adjustment_due(standing: Standing, adjust: Adjust, delivery_id: str) -> Adjustment | None:
    """Return the adjustment to freeze; None if there is nothing to adjust, or it must be left alone."""
    if adjust.number != standing.adjusted + 1 or why_left_alone(standing, adjust.rule):
        return None
    changes = list(_changes(standing, adjust))
    if not changes or any(_is_too_long(*change) for change in changes):
        return None
    grants = tuple(grant for grant, _ in changes)
    meters = dict.fromkeys(grant.meter for grant in grants)
    return Adjustment(
        delivery_id=delivery_id,
        subject=standing.subject,
        grants=grants,
        before=standing.adjusted,
        adjusted=adjust.number,
        taken={meter: standing.taken.get(meter, {}) for meter in meters},
        computed_from=standing.own.grants if standing.own else (),
    )


def why_not_adjusted(standing: Standing, adjust: Adjust) -> str:
    """Return why the request adjusts nothing, when nothing is due."""
    if adjust.number < standing.adjusted:
        return f"a later adjustment of this order, number {standing.adjusted}, has replaced this one"
    if adjust.number == standing.adjusted:
        return "this order has been adjusted already"
    if adjust.number > standing.adjusted + 1:
        return "adjustments of this order were lost with Redis: run `credits rebuild`"
    if why := why_left_alone(standing, adjust.rule):
        return why
    return TOO_LONG if any(_is_too_long(*one) for one in _changes(standing, adjust)) else UNCHANGED


def _has_open_take_back(standing: Standing) -> bool:
    taking = (one for one in standing.claims if is_take_back(one.subject) and not one.is_dismissed)
    return any(one.unsettled for one in taking) or bool(reversals(standing, ""))


def _is_share_unknown(standing: Standing) -> bool:
    """Return whether something was taken back, as Polar records, after refunds that the ledger has lost."""
    noted = {dispute_subject(one.id) for one in standing.disputes}
    refunded = standing.refund.amount if standing.refund else -1
    for claim in standing.claims:
        if claim.subject.startswith(REFUND) and int(claim.subject.rpartition(":")[2]) > refunded:
            return True
        if claim.subject.startswith(DISPUTE) and claim.subject not in noted:
            return True
    return False


def _changes(standing: Standing, adjust: Adjust) -> Iterator[tuple[Grant, Grant]]:
    """Yield what to send on each meter where the rule's part changes, and what the order then has there."""
    present = {grant.meter: grant for grant in credited(standing)}
    wanted = {grant.meter: grant for grant in adjust.wanted}
    for meter in sorted(present.keys() | wanted.keys()):
        now = _part_now(present.get(meter), wanted.get(meter), adjust.rule)
        if now is None:
            continue
        then = replace(now, units=wanted[meter].units if meter in wanted else Decimal(0))
        whole = _with_part(present.get(meter) or wanted[meter], then)
        taken = taken_back(standing).get(meter, {}).get(adjust.rule, Decimal(0))
        units = then.units - _reversed(whole, adjust.rule, standing) - (now.units - taken)
        if units:
            sent = replace(
                whole,
                subject=adjust_subject(whole.order_id or "", adjust.number),
                parts=(replace(now, units=units),),
                revision=Revision(before=now.units, after=then.units),
            )
            yield sent, whole


def _part_now(present: Grant | None, wanted: Grant | None, rule: str) -> Part | None:
    """Return the rule's part of an order's credits on a meter: one of 0 credits where the rule is new there.

    What was credited keeps its policies. New credits have those of today's rule.
    """
    for part in present.parts if present else ():
        if part.rule == rule:
            return part
    return replace(wanted.parts[0], units=Decimal(0)) if wanted else None


def _with_part(grant: Grant, part: Part) -> Grant:
    others = tuple(one for one in grant.parts if one.rule != part.rule)
    return replace(grant, parts=(*others, part))


def _reversed(grant: Grant, rule: str, standing: Standing) -> Decimal:
    """Return what refunds and lost disputes so far take of the rule's part of this grant."""
    refunded = standing.refund.share if standing.refund else Fraction(0)
    disputed = sum((one.share for one in standing.disputes), Fraction(0))
    return dict(reversed_units(grant, refunded, disputed)).get(rule, Decimal(0))


def _is_too_long(sent: Grant, whole: Grant) -> bool:
    """Return whether Polar's numbers cannot keep what is sent now, or what is taken back of it later."""
    return len(sent.units.normalize().as_tuple().digits) > MAX_DIGITS or any(inexact_sums([whole]))
