"""PURE: how the ledger's values are written in Redis, and read back."""

import json
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from workers.grants import Grant, Part, order_of
from workers.planning import Plan
from workers.records import Claim, Outcome, Refund, Standing, TakeBack, Taken, moment_of

_REVOKE = "revoke"

Other = tuple[bytes, Sequence[bytes], int]
"""A subject's hash as ``claim.lua`` returns it, and whether it is linked."""


def claim_row(delivery_id: str, plan: Plan, attempt: int | None) -> list[object]:
    """Return a plan as ``claim.lua`` reads it; without ``attempt`` whoever claims needs no lease."""
    by_subject = defaultdict(list)
    for grant in plan.grants:
        by_subject[grant.subject].append(grant)
    refund = [str(plan.refund.amount), _ratio(plan.refund.share)] if plan.refund else []
    base = _base(delivery_id, plan.customer_id, plan.subject, plan.order_id)
    claims = [[subject, _fields(delivery_id, grants)] for subject, grants in by_subject.items()]
    lease = [delivery_id, str(attempt)] if attempt is not None else []
    return [plan.subject, refund, lease, base, claims]


def look_row(plan: Plan) -> list[object]:
    """Return what makes ``claim.lua`` look at all that a plan is about, and touch nothing."""
    subjects = dict.fromkeys(grant.subject for grant in plan.grants)
    return [plan.subject, [], [], [], [[subject, []] for subject in subjects]]


def take_back_row(one: TakeBack) -> list[object]:
    """Return what a refund takes back as ``take_back.lua`` reads it."""
    fields = _fields(one.delivery_id, one.grants)
    return [one.subject, _taken_text(one.before), _taken_text(one.after), one.grants[0].subject, fields]


def standing(subject: str, flat: Sequence[bytes], others: Sequence[Other]) -> Standing:
    """Return what stands for ``subject`` by its hash, those linked to it, and those looked up beside it."""
    fields = _decoded(flat)
    read = [(name.decode(), _decoded(each), is_linked) for name, each, is_linked in others]
    linked = [(subject, fields), *((name, each) for name, each, is_linked in read if is_linked)]
    amount = fields.get("refunded_amount")
    return Standing(
        subject=subject,
        claims=tuple(_claim(name, each) for name, each in linked if "delivery" in each),
        elsewhere=tuple(
            _claim(name, each) for name, each, is_linked in read if not is_linked and "delivery" in each
        ),
        refund=Refund(amount=int(amount), share=Fraction(fields["refunded_share"])) if amount else None,
        taken={
            meter: {rule: Decimal(units) for rule, units in rules.items()}
            for meter, rules in json.loads(fields.get("taken", "{}")).items()
        },
    )


def outcome_row(outcome: Outcome) -> dict[str, object]:
    """Return an outcome as ``settle.lua`` reads it."""
    return {
        "id": outcome.delivery_id,
        "attempt": outcome.attempt,
        "status": outcome.status,
        "reason": outcome.reason,
        "subject": outcome.subject,
        "order_id": outcome.order_id,
        "customer_id": outcome.customer_id,
        "after_ms": round(outcome.after_seconds * 1000),
        "strike": outcome.strike,
    }


def _base(delivery_id: str, customer_id: str, subject: str, order_id: str | None) -> list[str]:
    base = ["delivery", delivery_id, "customer", customer_id]
    return [*base, "order", order_id] if order_id and order_of(subject) is None else base


def _fields(delivery_id: str, grants: Sequence[Grant]) -> list[str]:
    first = grants[0]
    fields = _base(delivery_id, first.customer_id, first.subject, first.order_id)
    for grant in grants:
        parts = [[part.rule, str(part.units), *([_REVOKE] if part.revocable else [])] for part in grant.parts]
        fields += [f"grant:{grant.meter}", json.dumps([grant.property_name, parts])]
    return fields


def _claim(subject: str, fields: dict[str, str]) -> Claim:
    order_id = order_of(subject) or fields.get("order")
    return Claim(
        subject=subject,
        delivery_id=fields["delivery"],
        claimed_at=moment_of(fields["claimed_at"]),
        grants=tuple(
            _grant(subject, fields["customer"], order_id, name, value)
            for name, value in sorted(fields.items())
            if name.startswith("grant:")
        ),
        settled={
            name.removeprefix("settled:"): moment_of(value)
            for name, value in fields.items()
            if name.startswith("settled:")
        },
        order_id=order_id,
    )


def _grant(subject: str, customer_id: str, order_id: str | None, name: str, value: str) -> Grant:
    property_name, parts = json.loads(value)
    return Grant(
        subject=subject,
        customer_id=customer_id,
        meter=name.removeprefix("grant:"),
        property_name=property_name,
        parts=tuple(
            Part(rule=rule, units=Decimal(units), revocable=_REVOKE in policy)
            for rule, units, *policy in parts
        ),
        order_id=order_id,
    )


def _decoded(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _ratio(share: Fraction) -> str:
    return f"{share.numerator}/{share.denominator}"


def _taken_text(taken: Taken) -> str:
    """Return always the same text for the same amounts: it is compared in Redis."""
    texts = {
        meter: {rule: f"{units.normalize():f}" for rule, units in rules.items()}
        for meter, rules in taken.items()
        if rules
    }
    return json.dumps(texts, sort_keys=True)
