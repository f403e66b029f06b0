"""PURE: how what Polar tells is written down: facts that the ledger lacks, amounts that it has otherwise."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from config.rules import Rules
from workers.core.claims import REBUILD, Claim, Standing, TakeBack, Taken
from workers.core.grants import LONGEST_TEXT, RULE_SEPARATOR, Grant, Part, revoke_subject
from workers.core.planning import Plan
from workers.core.restorations import Correction, Restoration
from workers.core.usage_events import RecordedGrant
from workers.operations.rebuild.comparison import are_alike, is_an_orders, why_kept

_FINEST = Decimal("0.000001")


def restoration(
    fact: str, traces: Iterable[RecordedGrant], standing: Standing, rules: Rules
) -> Restoration | None:
    """Return what is to be written down of ``fact``, given what stands for it; None if nothing is.

    What came into the ledger since it was looked for is there for good: another rebuild was at it.
    """
    known = {grant.key for claim in standing.claims for grant in claim.grants}
    new = [one for one in traces if one.grant.key not in known]
    refunds = [one.grant for one in new if _is_refund(one.grant)]
    given = tuple(_revocable(one.grant, refunds, rules) for one in new if one.grant.units > 0)
    stands = standing.own.grants if standing.own else ()
    own = {one.meter: one for one in (*(one for one in given if one.subject == fact), *stands)}
    # Nothing is taken back of nothing: Redis may be lost once more meanwhile.
    told = [one for one in new if one.grant.units > 0 or one.grant.meter in own]
    if not told:
        return None
    first = told[0].grant
    return Restoration(
        plan=Plan(subject=fact, customer_id=first.customer_id, order_id=first.order_id, grants=given),
        claimed_by=standing.own.delivery_id if standing.own else "",
        taken=tuple(_take_backs([one.grant for one in told if one.grant.units < 0], own, standing)),
        times=_times(fact, told),
    )


def correction(grants: Sequence[Grant], standing: Standing, rules: Rules) -> Correction | None:
    """Return how the ledger is to have these ``grants`` of Polar's, given what stands for their fact.

    How much was taken of each part is worked out anew, from all that was taken on their meters.
    """
    # What is on its way was worked out from the amounts that stand.
    on_its_way = {one.meter for claim in standing.claims for one in claim.unsettled}
    stands = [(claim, grant) for claim in standing.claims for grant in claim.grants]
    refunds = [grant for _, grant in stands if _is_refund(grant)]
    polar = {one.key: _revocable(one, refunds, rules) for one in grants}
    then = [
        (claim, grant, grant if grant.meter in on_its_way else _as_at_polar(claim, grant, polar))
        for claim, grant in stands
    ]
    corrected = tuple(one for one in then if one[2] is not one[1])
    meters = {grant.meter for _, grant, _ in corrected}
    if not corrected:
        return None
    return Correction(
        subject=standing.subject,
        grants=corrected,
        before={meter: standing.taken.get(meter, {}) for meter in meters},
        after={
            meter: _taken(standing.subject, [one for *_, one in then if one.meter == meter])
            for meter in meters
        },
    )


def _as_at_polar(claim: Claim, grant: Grant, polar: Mapping[str, Grant]) -> Grant:
    truth = polar.get(grant.key)
    if truth is None or are_alike(truth, grant) or why_kept(truth, grant, claim):
        return grant
    return replace(grant, parts=truth.parts)


def _taken(subject: str, grants: Sequence[Grant]) -> dict[str, Decimal]:
    """Return what of these ``grants`` of one meter those that take have taken of the fact's own, by rule."""
    taken: dict[str, Decimal] = {}
    parts = [part for one in grants if one.subject == subject for part in one.parts]
    for one in grants:
        if parts and one.units < 0:
            taken = _raised(taken, one, parts)
    return taken


def _is_refund(grant: Grant) -> bool:
    return grant.units < 0 and grant.subject != revoke_subject(grant.order_id or "", grant.meter)


def _revocable(grant: Grant, refunds: Sequence[Grant], rules: Rules) -> Grant:
    """Return the grant with what a refund may take of it: Polar was not told that.

    What a refund has taken from was revocable; of all else today's rules are asked.
    """
    (part,) = grant.parts
    revoking = {rule.name for rule in rules.rules if rule.revokes}
    taken_from = (set(one.rules) for one in refunds if one.meter == grant.meter)
    is_whole = len(part.rule) < LONGEST_TEXT  # else names were cut off, and who knows what their rules say
    is_known = any(set(grant.rules) <= known for known in (revoking, *taken_from))
    if is_an_orders(grant) and is_whole and is_known:
        return replace(grant, parts=(replace(part, revocable=True),))
    return grant


def _take_backs(takings: Sequence[Grant], own: Mapping[str, Grant], standing: Standing) -> Iterator[TakeBack]:
    """Yield what was taken back of an order's own grants: in that order, for each adds to the last."""
    by_subject: dict[str, list[Grant]] = {}
    for one in takings:
        by_subject.setdefault(one.subject, []).append(one)
    before: Taken = standing.taken
    for grants in by_subject.values():
        after = {one.meter: _raised(before.get(one.meter, {}), one, own[one.meter].parts) for one in grants}
        yield TakeBack(
            delivery_id=REBUILD,
            subject=standing.subject,
            grants=tuple(grants),
            before={meter: before.get(meter, {}) for meter in after},
            after=after,
        )
        before = {**before, **after}


def _raised(taken: Mapping[str, Decimal], taking: Grant, parts: Sequence[Part]) -> dict[str, Decimal]:
    """Return what has been taken by rule after ``taking``: from each by what is left of it."""
    after = dict(taken)
    for told in taking.parts:
        shared = _taken_from(told, parts, is_refund=_is_refund(taking))
        room = {part.rule: max(Decimal(0), part.units - after.get(part.rule, Decimal(0))) for part in shared}
        whole, left = sum(room.values()), -told.units
        for rule in list(room)[:-1]:
            share = (-told.units * room[rule] / whole).quantize(_FINEST, ROUND_DOWN) if whole else Decimal(0)
            after[rule] = after.get(rule, Decimal(0)) + share
            left -= share
        last = shared[-1].rule
        after[last] = after.get(last, Decimal(0)) + left
    return {rule: units for rule, units in after.items() if units}


def _taken_from(told: Part, parts: Sequence[Part], *, is_refund: bool) -> Sequence[Part]:
    """Return the parts that were taken from: those named; where rules were renamed, whatever could be."""
    names = told.rule.split(RULE_SEPARATOR)
    whole = [one for one in parts if one.rule == told.rule]
    named = whole or [one for one in parts if one.rule in names]
    if whole or len(named) == len(names):
        return named
    return [one for one in parts if one in named or one.revocable or not is_refund] or parts


def _times(fact: str, told: Sequence[RecordedGrant]) -> dict[str, dict[str, datetime]]:
    times: dict[str, dict[str, datetime]] = {fact: {}}
    for one in told:
        times.setdefault(one.grant.subject, {})[one.grant.meter] = one.at
    return times
