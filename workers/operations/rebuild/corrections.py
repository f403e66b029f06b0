"""Turns a comparison into ledger entries: facts that the ledger lacks, amounts that it has wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal

from msgspec.structs import replace

from config.rules import Rules
from workers.core.adjusted import minus, plus
from workers.core.begun import begun, taken_otherwise
from workers.core.claims import REBUILD, Claim, Standing, Taken
from workers.core.confirmations import is_same_credit
from workers.core.grants import (
    DISPUTE,
    LONGEST_TEXT,
    REVOKE,
    RULE_SEPARATOR,
    Grant,
    Part,
    adjustment_number,
    is_adjustment,
    is_correction,
    is_instalment,
    is_take_back,
)
from workers.core.later_claims import Adjustment, TakeBack
from workers.core.plans import Plan
from workers.core.recorded_grants import RecordedGrant
from workers.core.restorations import Correction, Restoration
from workers.operations.rebuild.comparison import is_order_grant, why_kept

_FINEST = Decimal("0.000001")


def restoration(
    fact: str, recorded_grants: Iterable[RecordedGrant], standing: Standing, rules: Rules
) -> Restoration | None:
    """Return the ledger entries to write for ``fact``, given its standing; None if there are none.

    What is in the ledger by now is left out: another rebuild has written it since the comparison.
    """
    known = {grant.key for claim in standing.claims for grant in claim.grants}
    oldest_first = sorted(recorded_grants, key=lambda one: one.at)
    new = [one for one in oldest_first if one.grant.key not in known]
    reversing = [one.grant for one in new if _is_reversal(one.grant)]
    marked = [replace(one, grant=_reversible(one.grant, reversing, rules)) for one in new]
    given = tuple(one.grant for one in marked if not is_correction(one.grant.subject))
    # A correction needs its grant, which is missing if Redis was lost again in the meantime.
    adjusting = [one for one in marked if is_adjustment(one.grant.subject) and (given or standing.own)]
    then = _as_restored(fact, [one for one in marked if one.grant in given], adjusting, standing)
    parts = {one.meter: one.parts for one in begun(then)}
    taking = [one for one in marked if is_take_back(one.grant.subject) and one.grant.meter in parts]
    writable = [one for one in marked if one.grant in given or one in adjusting or one in taking]
    if not writable:
        return None
    first = writable[0].grant
    periods = (grant.period for grant in given if grant.period)
    return Restoration(
        plan=Plan(
            subject=fact,
            customer_id=first.customer_id,
            order_id=first.order_id,
            grants=given,
            period=next(periods, None),
        ),
        claimed_by=standing.own.delivery_id if standing.own else "",
        taken=(
            *_adjustments([one.grant for one in adjusting], standing),
            *_take_backs([one.grant for one in taking], parts, then),
        ),
        times=_times(fact, writable),
    )


def _as_restored(
    fact: str, given: Sequence[RecordedGrant], adjusting: Sequence[RecordedGrant], standing: Standing
) -> Standing:
    """Return the standing with the fact's own grants, its instalments and its adjustments as restored."""
    stands = standing.own.grants if standing.own else ()
    own = {one.meter: one for one in (*(one.grant for one in given if one.grant.subject == fact), *stands)}
    later = [one for one in given if is_instalment(one.grant.subject)]
    restored = [
        Claim(
            subject=one.grant.subject,
            delivery_id=REBUILD,
            claimed_at=one.at,
            grants=(one.grant,),
            settled={one.grant.meter: one.at},
        )
        for one in (*adjusting, *later)
    ]
    others = [claim for claim in standing.claims if claim.subject != fact]
    first = standing.own or Claim(
        subject=fact, delivery_id=REBUILD, claimed_at=datetime.min.replace(tzinfo=UTC)
    )
    numbers = (adjustment_number(one.grant.subject) for one in adjusting)
    return replace(
        standing,
        claims=(replace(first, grants=tuple(own.values())), *others, *restored),
        adjusted=max(standing.adjusted, *numbers, 0),
    )


def _adjustments(grants: Sequence[Grant], standing: Standing) -> Iterator[Adjustment]:
    """Yield the adjustments to restore, so that the next one continues their numbers."""
    by_number: dict[int, list[Grant]] = {}
    for one in grants:
        by_number.setdefault(adjustment_number(one.subject), []).append(one)
    before = standing.adjusted
    for number, some in sorted(by_number.items()):
        yield Adjustment(
            delivery_id=REBUILD,
            subject=standing.subject,
            grants=tuple(some),
            before=before,
            adjusted=max(before, number),
            taken={},
        )
        before = max(before, number)


def correction(grants: Sequence[Grant], standing: Standing, rules: Rules) -> Correction | None:
    """Return the correction that gives the ledger Polar's amounts of these ``grants``, or None.

    How much was taken back from each part is computed again from all take-backs on their meters.
    """
    # Grants that are not settled yet were computed from the present amounts, so these meters stay unchanged.
    unsettled = {one.meter for claim in standing.claims for one in claim.unsettled}
    present = [(claim, grant) for claim in standing.claims for grant in claim.grants]
    reversing = [grant for _, grant in present if _is_reversal(grant)]
    polar = {one.key: _reversible(one, reversing, rules) for one in grants}
    corrected_all = [
        (claim, grant, grant if grant.meter in unsettled else _as_at_polar(claim, grant, polar))
        for claim, grant in present
    ]
    corrected = tuple(one for one in corrected_all if one[2] is not one[1])
    meters = {grant.meter for _, grant, _ in corrected}
    if not corrected:
        return None
    then = _as_corrected(standing, corrected_all)
    return Correction(
        subject=standing.subject,
        grants=corrected,
        before={meter: standing.taken.get(meter, {}) for meter in meters},
        after={meter: _taken_by_rule(then, meter) for meter in meters},
        adjusted=standing.adjusted,
    )


def _as_corrected(standing: Standing, corrected: Sequence[tuple[Claim, Grant, Grant]]) -> Standing:
    claims = (
        replace(claim, grants=tuple(now for one, _, now in corrected if one is claim))
        for claim in standing.claims
    )
    return replace(standing, claims=tuple(claims))


def _as_at_polar(claim: Claim, grant: Grant, polar: Mapping[str, Grant]) -> Grant:
    truth = polar.get(grant.key)
    if truth is None or is_same_credit(truth, grant) or why_kept(truth, grant, claim):
        return grant
    return replace(grant, parts=truth.parts, revision=truth.revision)


def _taken_by_rule(standing: Standing, meter: str) -> dict[str, Decimal]:
    """Return how much the take-backs on a meter took from the fact's own credits, by rule."""
    otherwise = taken_otherwise(standing).get(meter, {})
    parts = [part for one in begun(standing) if one.meter == meter for part in one.parts]
    taken = dict(otherwise)
    for grant in (one for claim in standing.claims for one in claim.grants if one.meter == meter):
        if parts and is_take_back(grant.subject):
            taken = _taken_after(taken, grant, parts)
    return {rule: units for rule, units in minus({meter: taken}, {meter: otherwise})[meter].items() if units}


def _is_reversal(grant: Grant) -> bool:
    """Return whether a refund or a lost dispute took this back, not a person."""
    return is_take_back(grant.subject) and not grant.subject.startswith(REVOKE)


def _reversible(grant: Grant, reversing: Sequence[Grant], rules: Rules) -> Grant:
    """Return the grant, marked with what may take it back: refunds, lost disputes. Polar does not record it.

    A rule that a refund took from was revocable then, and likewise for disputes. For every other rule today's
    rules decide.
    """
    if not (is_order_grant(grant) or is_adjustment(grant.subject)):
        return grant
    disputes = [one for one in reversing if one.subject.startswith(DISPUTE)]
    refunds = [one for one in reversing if one not in disputes]
    revoking = {rule.name for rule in rules.rules if rule.revokes}
    disputing = {rule.name for rule in rules.rules if rule.revokes_disputed}
    parts = tuple(
        replace(
            part,
            revocable=_covers(part, grant.meter, revoking, refunds),
            disputable=_covers(part, grant.meter, disputing, disputes),
        )
        for part in grant.parts
    )
    return grant if parts == grant.parts else replace(grant, parts=parts)


def _covers(part: Part, meter: str, today: set[str], reversing: Sequence[Grant]) -> bool:
    """Return whether all rules of the part are among today's, or among those that one take-back names."""
    if len(part.rule) >= LONGEST_TEXT:  # a longer text was cut off
        return False
    names = set(part.rule.split(RULE_SEPARATOR))
    taken_from = (set(one.rules) for one in reversing if one.meter == meter)
    return any(names <= known for known in (today, *taken_from))


def _take_backs(
    takings: Sequence[Grant], parts: Mapping[str, Sequence[Part]], standing: Standing
) -> Iterator[TakeBack]:
    """Yield the take-backs of an order's own grants, in the order in which they were made."""
    by_subject: dict[str, list[Grant]] = {}
    for one in takings:
        by_subject.setdefault(one.subject, []).append(one)
    before, otherwise = standing.taken, taken_otherwise(standing)
    for grants in by_subject.values():
        counted = plus(before, otherwise)
        now: Taken = {
            one.meter: _taken_after(counted.get(one.meter, {}), one, parts[one.meter]) for one in grants
        }
        after = {
            meter: {rule: units for rule, units in rules.items() if units}
            for meter, rules in minus(now, otherwise).items()
        }
        yield TakeBack(
            delivery_id=REBUILD,
            subject=standing.subject,
            grants=tuple(grants),
            before={meter: before.get(meter, {}) for meter in after},
            after=after,
            adjusted=standing.adjusted,
        )
        before = {**before, **after}


def _taken_after(taken: Mapping[str, Decimal], taking: Grant, parts: Sequence[Part]) -> dict[str, Decimal]:
    """Return how much was taken from each rule after ``taking``, in proportion to what each had left."""
    after = dict(taken)
    is_whole = all(part.units % 1 == 0 for part in (*parts, *taking.parts))
    step = Decimal(1) if is_whole else _FINEST  # so that later take-backs are whole, too
    for taken_part in taking.parts:
        shared = _taken_from(taken_part, parts, by=taking)
        room = {part.rule: max(Decimal(0), part.units - after.get(part.rule, Decimal(0))) for part in shared}
        whole, left = sum(room.values()), -taken_part.units
        for rule in list(room)[:-1]:
            share = (
                (-taken_part.units * room[rule] / whole).quantize(step, ROUND_DOWN) if whole else Decimal(0)
            )
            after[rule] = after.get(rule, Decimal(0)) + share
            left -= share
        last = shared[-1].rule
        after[last] = after.get(last, Decimal(0)) + left
    return after


def _taken_from(taken_part: Part, parts: Sequence[Part], *, by: Grant) -> Sequence[Part]:
    """Return the parts that a take-back names; if rules were renamed since, those it can have taken from."""
    names = taken_part.rule.split(RULE_SEPARATOR)
    whole = [one for one in parts if one.rule == taken_part.rule]
    named = whole or [one for one in parts if one.rule in names]
    if whole or len(named) == len(names):
        return named
    return [one for one in parts if one in named or _may_take(by, one)] or parts


def _may_take(taking: Grant, part: Part) -> bool:
    if not _is_reversal(taking):
        return True  # a person may take everything
    return part.disputable if taking.subject.startswith(DISPUTE) else part.revocable


def _times(fact: str, recorded: Sequence[RecordedGrant]) -> dict[str, dict[str, datetime]]:
    times: dict[str, dict[str, datetime]] = {fact: {}}
    for one in recorded:
        times.setdefault(one.grant.subject, {})[one.grant.meter] = one.at
    return times
