"""PURE: how the ledger's values are written in Redis, and read back.

A hash is a sixth of the size while each of its fields and values has at most 64 bytes: hence texts that
are short, and repeat nothing that the key or another field has. ``grant:api_usage`` is
``pack=10 first=50:revoke``: by rule the credits, and what a refund takes back.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from workers.core.claims import REBUILD, Claim, Refund, Standing, TakeBack
from workers.core.delivery import Outcome
from workers.core.grants import Grant, Part, order_of
from workers.core.planning import Plan
from workers.core.restorations import Correction, Restoration
from workers.store.scripts import milliseconds_of, moment_of

_GRANT, _SETTLED, _PROPERTY, _TAKEN = "grant:", "settled:", "property:", "taken:"
_REASON = "reason"
_REVOKE = ":revoke"
_USUAL_PROPERTY = "units"  # is not written; what rules take for usual may change, this may not

Other = tuple[bytes, Sequence[bytes], int]
"""A subject's hash as ``claim.lua`` returns it, and whether it is linked."""

Found = tuple[Sequence[bytes], *tuple[Other, ...]]
"""A subject's own hash, and others."""


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
    """Return what is taken back as ``take_back.lua`` reads it."""
    changes = [
        [_TAKEN + meter, _taken_text(one.before.get(meter, {})), _taken_text(one.after.get(meter, {}))]
        for meter in {**one.before, **one.after}
    ]
    changes += [
        [_GRANT + grant.meter, text, text] for grant in one.computed_from for text in [_grant_text(grant)]
    ]
    return [one.subject, changes, one.grants[0].subject, _fields(one.delivery_id, one.grants)]


def restoration_row(one: Restoration) -> list[object]:
    """Return a restoration as ``restore.lua`` reads it."""
    oldest = min(moment for meters in one.times.values() for moment in meters.values())
    times = [
        [
            subject,
            str(milliseconds_of(min(meters.values(), default=oldest))),
            [[meter, str(milliseconds_of(moment))] for meter, moment in meters.items()],
        ]
        for subject, meters in one.times.items()
    ]
    claim = claim_row(REBUILD, one.plan, None)
    return [one.claimed_by, claim, [take_back_row(each) for each in one.taken], times]


def correction_row(one: Correction) -> list[object]:
    """Return a correction as ``correct.lua`` reads it."""
    as_is = [_as_written(one, claim, then) for claim, then, _ in one.grants]
    to_be = [_as_written(one, claim, now) for claim, _, now in one.grants]
    return [one.subject, as_is[0][1], [row[2:] for row in as_is], [row[2:] for row in to_be]]


def _as_written(one: Correction, claim: Claim, grant: Grant) -> list[object]:
    """Return the change of what was taken, and the fields of one of its grants: in the way of a taking."""
    whole = TakeBack(
        delivery_id=claim.delivery_id,
        subject=one.subject,
        grants=(grant,),
        before=one.before,
        after=one.after,
    )
    return take_back_row(whole)


def standing(subject: str, found: Found) -> Standing:
    """Return what stands for ``subject`` by its hash, those linked to it, and those looked up beside it."""
    flat, *others = found
    fields = _decoded(flat)
    read = [(name.decode(), _decoded(each), is_linked) for name, each, is_linked in others]
    linked = [(subject, fields), *((name, each) for name, each, is_linked in read if is_linked)]
    amount = fields.get("refunded_amount")
    return Standing(
        subject=subject,
        claims=tuple(claim(name, each) for name, each in linked if "delivery" in each),
        elsewhere=tuple(
            claim(name, each) for name, each, is_linked in read if not is_linked and "delivery" in each
        ),
        refund=Refund(amount=int(amount), share=Fraction(fields["refunded_share"])) if amount else None,
        taken={
            meter: {part.rule: part.units for part in _parts(text)}
            for meter, text in _by_meter(fields)[_TAKEN].items()
        },
    )


def frozen(delivery_id: str, plan: Plan, moment: bytes) -> Standing:
    """Return what stands for a fact of which nothing was known until ``plan`` was frozen, as a whole."""
    own = Claim(
        subject=plan.subject,
        delivery_id=delivery_id,
        claimed_at=moment_of(moment),
        grants=tuple(sorted(plan.grants, key=lambda grant: grant.meter)),
        order_id=plan.order_id,
    )
    return Standing(subject=plan.subject, claims=(own,))


def outcome_row(outcome: Outcome) -> list[object]:
    """Return an outcome as ``settle.lua`` reads it."""
    return [
        outcome.delivery_id,
        outcome.attempt,
        outcome.status,
        outcome.reason,
        outcome.subject,
        outcome.order_id,
        outcome.customer_id,
        round(outcome.after_seconds * 1000),
        outcome.strike,
    ]


def _base(delivery_id: str, customer_id: str, subject: str, order_id: str | None) -> list[str]:
    base = ["delivery", delivery_id, "customer", customer_id]
    return [*base, "order", order_id] if order_id and order_of(subject) is None else base


def _fields(delivery_id: str, grants: Sequence[Grant]) -> list[str]:
    first = grants[0]
    fields = _base(delivery_id, first.customer_id, first.subject, first.order_id)
    if first.reason:
        fields += [_REASON, first.reason]
    for grant in grants:
        fields += [_GRANT + grant.meter, _grant_text(grant)]
        if grant.property_name != _USUAL_PROPERTY:
            fields += [_PROPERTY + grant.meter, grant.property_name]
    return fields


def claim(subject: str, fields: Mapping[str, str]) -> Claim:
    """Return what is frozen for ``subject`` by its hash."""
    order_id = order_of(subject) or fields.get("order")
    by_meter = _by_meter(fields)
    properties = by_meter[_PROPERTY]
    return Claim(
        subject=subject,
        delivery_id=fields["delivery"],
        claimed_at=moment_of(fields["claimed_at"]),
        grants=tuple(
            Grant(
                subject=subject,
                customer_id=fields["customer"],
                meter=meter,
                property_name=properties.get(meter, _USUAL_PROPERTY),
                parts=_parts(text),
                order_id=order_id,
                reason=fields.get(_REASON, ""),
            )
            for meter, text in sorted(by_meter[_GRANT].items())
        ),
        settled={meter: moment_of(moment) for meter, moment in by_meter[_SETTLED].items()},
        order_id=order_id,
    )


def _by_meter(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the fields that belong to a meter, by what they say of it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in fields.items():
        kind, colon, meter = name.partition(":")
        if colon:
            found[kind + colon][meter] = text
    return found


def _parts(text: str) -> tuple[Part, ...]:
    return tuple(map(_part, text.split()))


def _part(text: str) -> Part:
    rule, _, units = text.partition("=")
    return Part(rule=rule, units=Decimal(units.removesuffix(_REVOKE)), revocable=units.endswith(_REVOKE))


def _grant_text(grant: Grant) -> str:
    return " ".join(map(_part_text, grant.parts))


def _part_text(part: Part) -> str:
    return f"{part.rule}={part.units:f}" + (_REVOKE if part.revocable else "")


def _decoded(flat: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _ratio(share: Fraction) -> str:
    return f"{share.numerator}/{share.denominator}"


def _taken_text(rules: Mapping[str, Decimal]) -> str:
    """Return always the same text for the same amounts: it is compared in Redis."""
    return " ".join(f"{rule}={units.normalize():f}" for rule, units in sorted(rules.items()))
