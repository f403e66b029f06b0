"""Writes plans, take-backs and outcomes as the JSON objects that the ledger's scripts take.

The first comment of each script lists the names that it reads.
"""

from collections import defaultdict
from collections.abc import Sequence

from workers.core.claims import REBUILD, Claim
from workers.core.confirmations import Reading
from workers.core.delivery import Outcome, PutBack, Status
from workers.core.grants import Grant
from workers.core.later_claims import Adjustment, Instalment, LaterClaim, TakeBack
from workers.core.next_instalments import NextInstalment
from workers.core.plans import Plan
from workers.core.restorations import Correction, Restoration
from workers.core.schedule import PaidPeriod
from workers.core.wording import plain
from workers.store import keys
from workers.store.ledger_hashes import (
    ADJUSTED,
    BEGUN,
    DISPUTE,
    ENDED,
    GRANT,
    REFUNDED_AMOUNT,
    REFUNDED_SHARE,
    TAKEN,
    base_fields,
    claim_fields,
    grant_text,
    period_fields,
    ratio_text,
    taken_text,
)
from workers.store.scripts import milliseconds_of

Row = dict[str, object]

_SECOND = 2  # the first instalment is the order's own grant, which needs no count


def claim_row(delivery_id: str, plan: Plan, attempt: int | None) -> Row:
    """Return a plan to be frozen by ``claim.lua``; without ``attempt`` the claim needs no lease."""
    by_subject = defaultdict(list)
    for grant in plan.grants:
        by_subject[grant.subject].append(grant)
    row: Row = {
        "subject": plan.subject,
        "base": base_fields(delivery_id, plan.customer_id, plan.subject, plan.order_id),
        "claims": [_claim_row(subject, delivery_id, grants) for subject, grants in by_subject.items()],
    }
    if plan.period:
        row |= _period_row(plan.period, plan)
    if plan.instalment:  # the others decide nothing about it
        row["instalments"] = [plan.instalment.request.subject]
    if plan.refund:
        row["refund"] = {"amount": str(plan.refund.amount), "share": ratio_text(plan.refund.share)}
    if plan.dispute:
        row["dispute"] = {"id": plan.dispute.id, "share": ratio_text(plan.dispute.share)}
    if plan.cap:
        row["cap"] = {"key": keys.OFFERED + plan.customer_id, "offer": plan.cap.offer, "most": plan.cap.most}
    if plan.shown:
        row["shown"] = plan.shown.value
    if attempt is not None:
        row["lease"] = _lease_row(delivery_id, attempt)
    return row


def read_row(plan: Plan, *, with_instalments: bool = True) -> Row:
    """Return the row with which ``claim.lua`` only reads what the ledger has for ``plan``."""
    subjects = dict.fromkeys(grant.subject for grant in plan.grants)
    row: Row = {"subject": plan.subject, "claims": [{"subject": subject} for subject in subjects]}
    return row if with_instalments else row | {"instalments": []}


def take_back_row(one: LaterClaim, attempt: int | None = None) -> Row:
    """Return such a claim for ``take_back.lua``; without ``attempt`` it needs no lease."""
    is_linked = not isinstance(one, Instalment)  # an order finds its instalments by their number
    changes = _begun_changes(one) if isinstance(one, Instalment) else _changes(one)
    row: Row = {"order": one.subject, "changes": changes, "link": is_linked, **_own_claim_row(one)}
    return row if attempt is None else row | {"lease": _lease_row(one.delivery_id, attempt)}


def restoration_row(one: Restoration) -> Row:
    """Return a restoration for ``restore.lua``."""
    oldest = min(moment for meters in one.times.values() for moment in meters.values())
    return {
        "claimed_by": one.claimed_by,
        "plan": claim_row(REBUILD, one.plan, None),
        "taken_back": [take_back_row(each) for each in one.taken],
        "settled": [
            {
                "subject": subject,
                "claimed_at": str(milliseconds_of(min(meters.values(), default=oldest))),
                "meters": [
                    {"meter": meter, "at": str(milliseconds_of(moment))} for meter, moment in meters.items()
                ],
            }
            for subject, meters in one.times.items()
        ],
    }


def correction_row(one: Correction) -> Row:
    """Return a correction for ``correct.lua``."""
    before = [_as_take_back(one, claim, then) for claim, then, _ in one.grants]
    after = [_as_take_back(one, claim, now) for claim, _, now in one.grants]
    return {
        "fact": one.subject,
        "changes": _changes(before[0]),
        "read": [_own_claim_row(each) for each in before],
        "corrected": [_own_claim_row(each) for each in after],
    }


def accepted_row(grant: Grant, *, is_unconfirmed: bool, following: NextInstalment | None) -> Row:
    """Return a grant that Polar has accepted, for ``settle.lua``, and the instalment that follows it."""
    row: Row = {
        "subject": grant.subject,
        "meter": grant.meter,
        "units": float(grant.units),
        "grant": grant_text(grant),
    }
    if is_unconfirmed:
        row["unconfirmed"] = True
    if following:
        row["next"] = {"member": instalment_member(following), "at": str(milliseconds_of(following.at))}
    return row


def instalment_member(one: NextInstalment) -> str:
    """Return an instalment as a member of the sorted set of those to come."""
    return f"{one.order_id} {one.number} {one.meter}"


def reading_row(one: Reading) -> Row:
    """Return what Polar has of an unconfirmed grant, for ``confirm.lua``."""
    row: Row = {
        "subject": one.grant.subject,
        "meter": one.grant.meter,
        "grant": grant_text(one.grant),
        "ledger": plain(one.grant.units),
        "is_equal": one.is_equal,
        "polar": one.polar,
    }
    wait = one.read_again_after
    return row if wait is None else row | {"after_ms": int(wait.total_seconds() * 1000)}


def outcome_row(outcome: Outcome) -> Row:
    """Return an outcome for ``settle.lua``."""
    row: Row = {
        "id": outcome.delivery_id,
        "attempt": outcome.attempt,
        "status": outcome.status,
        "reason": outcome.reason,
        "subject": outcome.subject,
        "order_id": outcome.order_id,
        "customer_id": outcome.customer_id,
    }
    if outcome.status is not Status.WAITING or outcome.put_back:
        row |= {"relies_on": outcome.relies_on, "is_shown": outcome.is_shown}
    if outcome.refusal:
        row["refusal"] = outcome.refusal
    if outcome.refunded_amount is not None:
        row["refunded_amount"] = outcome.refunded_amount
    if outcome.dispute_id is not None:
        row["dispute"] = outcome.dispute_id
    if outcome.ended:
        row["ended"] = {"meter": outcome.ended.meter, "reason": outcome.ended.reason}
    if outcome.put_back:
        row["put_back"] = _put_back_row(outcome.order_id, outcome.put_back)
    elif outcome.status is Status.WAITING:
        row |= {"after_ms": round(outcome.after_seconds * 1000), "strike": outcome.strike}
    return row


def _put_back_row(order_id: str, back: PutBack) -> Row:
    one = NextInstalment(order_id=order_id, number=back.number, meter=back.meter, at=back.until)
    row: Row = {
        "member": instalment_member(one),
        "at": str(milliseconds_of(back.until)),
        "meter": back.meter,
        "reason": back.reason,
    }
    return row | {"polar_now": milliseconds_of(back.too_early_at)} if back.too_early_at else row


def _lease_row(delivery_id: str, attempt: int) -> Row:
    return {"delivery": delivery_id, "attempt": str(attempt)}


def _claim_row(subject: str, delivery_id: str, grants: Sequence[Grant]) -> Row:
    return {"subject": subject, "fields": claim_fields(delivery_id, grants)}


def _period_row(period: PaidPeriod, plan: Plan) -> Row:
    """Return the fields of the paid period, and where to note that this order begins instalments."""
    meters = [grant.meter for grant in plan.grants if any(part.every for part in grant.parts)]
    chain = {
        "key": keys.CHAIN + period.subscription_id,
        "at": str(milliseconds_of(period.ordered_at)),
        "order": plan.order_id,
        "meters": meters,
    }
    return {"period": period_fields(period), "chain": chain}


def _own_claim_row(one: LaterClaim) -> Row:
    return _claim_row(one.grants[0].subject, one.delivery_id, one.grants)


def _changes(one: TakeBack | Adjustment) -> list[Row]:
    """Return the fields of the order that a correction was computed from, before and after it."""
    if isinstance(one, Adjustment):
        adjusted_before, before, after = one.before, one.taken, one.taken
    else:
        adjusted_before, before, after = one.adjusted, one.before, one.after
    changes: list[Row] = [
        {
            "field": TAKEN + meter,
            "before": taken_text(before.get(meter, {})),
            "after": taken_text(after.get(meter, {})),
        }
        for meter in {**before, **after}
    ]
    changes.append(
        {
            "field": ADJUSTED,
            "before": str(adjusted_before or ""),
            "after": str(one.adjusted or ""),
        }
    )
    begun = one.begun if isinstance(one, TakeBack) else {}
    return [
        *changes,
        # A take-back is a share of these grants, with as many instalments as have begun.
        *(_unchanged(GRANT + grant.meter, grant_text(grant)) for grant in one.computed_from),
        *(
            _unchanged(BEGUN + grant.meter, str(begun.get(grant.meter, "")))
            for grant in one.computed_from
            if any(part.every for part in grant.parts)
        ),
    ]


def _begun_changes(one: Instalment) -> list[Row]:
    """Return the fields of the order that decide about an instalment, and the number that it changes."""
    grant, refund = one.computed_from, one.refund
    meter = grant.meter
    return [
        {
            "field": BEGUN + meter,
            "before": str(one.number - 1) if one.number > _SECOND else "",
            "after": str(one.number),
        },
        _unchanged(ENDED + meter, ""),
        _unchanged(GRANT + meter, grant_text(grant)),
        _unchanged(TAKEN + meter, taken_text(one.taken)),
        _unchanged(REFUNDED_AMOUNT, str(refund.amount) if refund else ""),
        _unchanged(REFUNDED_SHARE, ratio_text(refund.share) if refund else ""),
        *(_unchanged(DISPUTE + each.id, ratio_text(each.share)) for each in one.disputes),
    ]


def _unchanged(field: str, text: str) -> Row:
    return {"field": field, "before": text, "after": text}


def _as_take_back(one: Correction, claim: Claim, grant: Grant) -> TakeBack:
    """Return one grant of a correction as a take-back, which is written in the same way."""
    return TakeBack(
        delivery_id=claim.delivery_id,
        subject=one.subject,
        grants=(grant,),
        before=one.before,
        after=one.after,
        adjusted=one.adjusted,
    )
