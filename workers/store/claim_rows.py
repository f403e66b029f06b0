"""Writes plans as ``claim.lua`` takes them; its first comment says what they are."""

from collections import defaultdict
from collections.abc import Sequence

from workers.core.grants import Grant
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.store import keys
from workers.store.ledger_hashes import base_fields, claim_fields, period_fields, ratio_text
from workers.store.rows import Row, Values
from workers.store.scripts import milliseconds_of


def claim_row(delivery_id: str, plan: Plan) -> Row:
    """Return a plan to be frozen."""
    row: Row = {"subject": plan.subject, **_claims_row(delivery_id, plan)}
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
    return row


def claim_values(delivery_id: str, plan: Plan, attempt: int | None) -> Values:
    """Return a plan to be frozen, for ``claim.lua``; without ``attempt`` it needs no lease."""
    return _flat_plan(claim_row(delivery_id, plan), attempt)


def read_values(plan: Plan, *, with_instalments: bool = True) -> Values:
    """Return values for which ``claim.lua`` only reads what the ledger has for ``plan``."""
    subjects = dict.fromkeys(grant.subject for grant in plan.grants)
    row: Row = {"subject": plan.subject, "claims": [{"subject": subject} for subject in subjects]}
    return _flat_plan(row if with_instalments else row | {"instalments": []})


def _flat_plan(row: Row, attempt: int | None = None) -> Values:
    more = {name: value for name, value in row.items() if name not in {"subject", "own"}}
    return (
        row["subject"],
        False if attempt is None else str(attempt),
        row.get("own", False),
        more or False,
    )


def _claims_row(delivery_id: str, plan: Plan) -> Row:
    """Return the fields of the fact, and the claims that are linked to it, if there are any."""
    by_subject = defaultdict(list)
    for grant in plan.grants:
        by_subject[grant.subject].append(grant)
    if own := by_subject.pop(plan.subject, None):
        row: Row = {"own": claim_fields(delivery_id, own)}
    else:
        row = {"base": base_fields(delivery_id, plan.customer_id, plan.subject, plan.order_id)}
    linked = [fields_row(subject, delivery_id, grants) for subject, grants in by_subject.items()]
    return row | {"claims": linked} if linked else row


def fields_row(subject: str, delivery_id: str, grants: Sequence[Grant]) -> Row:
    """Return a claim with the fields of its hash."""
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
