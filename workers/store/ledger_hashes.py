"""Writes a fact's entry in the ledger as a Redis hash, and reads it back.

A hash with a field or a value of more than 64 bytes takes Redis about six times the memory. So texts are
short, and repeat nothing that the key or another field says. The field ``grant:api_usage`` is
``pack=10 first=50:revoke:lost``: the credits that each rule gives. ``:revoke`` says that a refund takes them
back, ``:lost`` that a lost dispute does, ``:month`` or ``:week`` that instalments follow. The field
``dispute:<id>`` is the share of a lost dispute. In an order that was adjusted, ``adjusted`` is how often; in
an adjustment, ``revised:api_usage`` is ``5 50``, the amounts that it leads from and to.

An order with instalments has its ``period`` (from, until, and when it was ordered, in ms), ``subscription``
and ``product``; ``begun:api_usage`` is how many instalments were claimed, if there are two or more, and
``ended:api_usage`` why no more follow; ``waits:api_usage`` why the next has to wait.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from config.intervals import Every
from workers.core.claims import Claim, Dispute, Refund, Shown, Standing
from workers.core.grants import Grant, Part, Revision, has_own_delivery, order_of
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.store.scripts import milliseconds_of, moment_of

GRANT, TAKEN, ADJUSTED = "grant:", "taken:", "adjusted"
BEGUN, ENDED = "begun:", "ended:"
_WAITS = "waits:"
DISPUTE, REFUNDED_AMOUNT, REFUNDED_SHARE = "dispute:", "refunded_amount", "refunded_share"
_PERIOD, _SUBSCRIPTION, _PRODUCT = "period", "subscription", "product"
_SETTLED, _PROPERTY, _UNCONFIRMED = "settled:", "property:", "unconfirmed:"
_REVISED = "revised:"
_REASON = "reason"
_SHOWN = "shown"
_DISMISSED = "dismissed"
# Never stored: claim.lua adds these to what it returns.
_CAPPED, _SUPERSEDED, _SUPERSEDED_AT = "capped", "superseded:", "superseded_at:"
_REVOKE, _LOST = "revoke", "lost"
_USUAL_PROPERTY = "units"  # is not written. The rules may change their default, we may not change this.

Other = tuple[bytes, Sequence[bytes], int]
"""Another subject, its hash, and whether it is linked, as ``claim.lua`` returns them."""

Found = tuple[Sequence[bytes], *tuple[Other, ...]]
"""A fact's own hash, and those of others."""


def base_fields(delivery_id: str, customer_id: str, subject: str, order_id: str | None) -> list[str]:
    """Return the fields that every claim has, as HSET takes them: name, value, name, value, ..."""
    base = ["delivery", delivery_id, "customer", customer_id]
    return [*base, "order", order_id] if order_id and order_of(subject) is None else base


def claim_fields(delivery_id: str, grants: Sequence[Grant]) -> list[str]:
    """Return all fields of a claim of these grants, which have one subject."""
    first = grants[0]
    fields = base_fields(delivery_id, first.customer_id, first.subject, first.order_id)
    if first.reason:
        fields += [_REASON, first.reason]
    for grant in grants:
        fields += [GRANT + grant.meter, grant_text(grant)]
        if grant.property_name != _USUAL_PROPERTY:
            fields += [_PROPERTY + grant.meter, grant.property_name]
        if revision := grant.revision:
            fields += [_REVISED + grant.meter, f"{revision.before:f} {revision.after:f}"]
    return fields


def period_fields(period: PaidPeriod) -> list[str]:
    """Return the fields of the period that an order has paid."""
    times = (period.start, period.end, period.ordered_at)
    text = " ".join(str(milliseconds_of(one)) for one in times)
    return [_PERIOD, text, _SUBSCRIPTION, period.subscription_id, _PRODUCT, period.product_id]


def read_standing(subject: str, found: Found) -> Standing:
    """Return what the ledger has for ``subject``: its claim, linked claims, and others asked for."""
    flat, *others = found
    fields = decoded(flat)
    read = [(name.decode(), decoded(each), is_linked) for name, each, is_linked in others]
    linked = [(subject, fields), *((name, each) for name, each, is_linked in read if is_linked)]
    amount, by_kind = fields.get(REFUNDED_AMOUNT), _by_kind(fields)
    return Standing(
        subject=subject,
        claims=tuple(read_claim(name, each) for name, each in linked if "delivery" in each),
        elsewhere=tuple(
            read_claim(name, each) for name, each, is_linked in read if not is_linked and "delivery" in each
        ),
        refund=Refund(amount=int(amount), share=Fraction(fields[REFUNDED_SHARE])) if amount else None,
        disputes=tuple(
            Dispute(id=id_, share=Fraction(share)) for id_, share in sorted(by_kind[DISPUTE].items())
        ),
        taken={
            meter: {part.rule: part.units for part in _parts(text)} for meter, text in by_kind[TAKEN].items()
        },
        adjusted=int(fields.get(ADJUSTED, 0)),
        shown=Shown(fields[_SHOWN]) if _SHOWN in fields else None,
        period=_period(fields),
        begun={meter: int(number) for meter, number in by_kind[BEGUN].items()},
        ended=dict(by_kind[ENDED]),
        waits=dict(by_kind[_WAITS]),
        superseded=dict(by_kind[_SUPERSEDED]),
        superseded_at={meter: moment_of(at) for meter, at in by_kind[_SUPERSEDED_AT].items()},
        is_capped=_CAPPED in fields,
        dismissed_with=fields.get(_DISMISSED, ""),
    )


def frozen_standing(delivery_id: str, plan: Plan, moment: bytes) -> Standing:
    """Return what the ledger has for a fact that was new when all of ``plan`` was frozen."""
    own = Claim(
        subject=plan.subject,
        delivery_id=delivery_id,
        claimed_at=moment_of(moment),
        grants=tuple(sorted(plan.grants, key=lambda grant: grant.meter)),
        order_id=plan.order_id,
    )
    return Standing(subject=plan.subject, claims=(own,), period=plan.period)


def read_claim(subject: str, fields: Mapping[str, str]) -> Claim:
    """Return the claim that the hash of ``subject`` holds."""
    order_id = order_of(subject) or fields.get("order")
    by_kind = _by_kind(fields)
    properties = by_kind[_PROPERTY]
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
                revision=_revision(by_kind[_REVISED].get(meter)),
                period=_period(fields) if any(part.every for part in _parts(text)) else None,
            )
            for meter, text in sorted(by_kind[GRANT].items())
        ),
        settled={meter: moment_of(moment) for meter, moment in by_kind[_SETTLED].items()},
        unconfirmed=dict(by_kind[_UNCONFIRMED]),
        order_id=order_id,
        is_dismissed=has_own_delivery(subject) and _DISMISSED in fields,
    )


def grant_text(grant: Grant) -> str:
    """Return what each rule gives, and whether a refund takes it back."""
    return " ".join(map(_part_text, grant.parts))


def taken_text(rules: Mapping[str, Decimal]) -> str:
    """Return these amounts as a text; equal amounts give equal texts, because a script compares them."""
    return " ".join(f"{rule}={units.normalize():f}" for rule, units in sorted(rules.items()))


def ratio_text(share: Fraction) -> str:
    """Return a share as ``1/3``."""
    return f"{share.numerator}/{share.denominator}"


def _by_kind(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the fields that belong to a meter or a dispute, by kind (the prefix) and the rest."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in fields.items():
        kind, colon, meter = name.partition(":")
        if colon:
            found[kind + colon][meter] = text
    return found


def _period(fields: Mapping[str, str]) -> PaidPeriod | None:
    if _PERIOD not in fields:
        return None
    start, end, ordered_at = map(moment_of, fields[_PERIOD].split())
    return PaidPeriod(
        subscription_id=fields[_SUBSCRIPTION],
        product_id=fields[_PRODUCT],
        start=start,
        end=end,
        ordered_at=ordered_at,
    )


def _revision(text: str | None) -> Revision | None:
    if not text:
        return None
    before, after = map(Decimal, text.split())
    return Revision(before=before, after=after)


def _parts(text: str) -> tuple[Part, ...]:
    return tuple(map(_part, text.split()))


def _part(text: str) -> Part:
    rule, _, units_and_policies = text.partition("=")
    units, *policies = units_and_policies.split(":")
    return Part(
        rule=rule,
        units=Decimal(units),
        revocable=_REVOKE in policies,
        disputable=_LOST in policies,
        every=next((one for one in Every if one in policies), None),
    )


def _part_text(part: Part) -> str:
    policies = [_REVOKE] * part.revocable + [_LOST] * part.disputable + ([part.every] if part.every else [])
    return ":".join([f"{part.rule}={part.units:f}", *policies])


def decoded(flat: Sequence[bytes]) -> dict[str, str]:
    """Return a hash that a script returns as HGETALL does: name, value, name, value, ..."""
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
