"""What an order's rules gave it, and what was taken back, with its adjustments.

An adjustment changes how much a rule gave, and what refunds should have taken of that. Its own event carries
the difference of both. So later take-backs are computed as if the order had been credited this way at once.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from msgspec.structs import replace

from workers.core.claims import Standing, Taken
from workers.core.grants import RULE_SEPARATOR, Grant, Part, has_own_delivery

_NOTHING = Decimal(0)


def credited(standing: Standing) -> tuple[Grant, ...]:
    """Return the grants of the fact's own claim, with the amounts to which adjustments brought them."""
    own = standing.own
    if own is None or not standing.adjusted:
        return own.grants if own else ()
    by_meter = {grant.meter: grant for grant in own.grants}
    for grant in _applied(standing):
        first = replace(grant, subject=own.subject, parts=(), revision=None)
        known = by_meter.get(grant.meter, first)
        by_meter[grant.meter] = replace(known, parts=tuple(_adjusted_parts(known.parts, grant)))
    return tuple(by_meter[meter] for meter in sorted(by_meter))


def granted(standing: Standing) -> tuple[Grant, ...]:
    """Return everything that the fact was granted: its own credits as adjusted, and its bonuses."""
    bonuses = (
        claim
        for claim in standing.claims
        if claim.subject != standing.subject and not has_own_delivery(claim.subject)
    )
    return (*credited(standing), *(grant for claim in bonuses for grant in claim.grants))


def taken_back(standing: Standing) -> Taken:
    """Return what counts as taken back of the credits as adjusted, by meter and rule."""
    return plus(standing.taken, taken_by_adjusting(standing))


def taken_by_adjusting(standing: Standing) -> Taken:
    """Return what adjustments at Polar added to what counts as taken back; negative if they gave it back."""
    found: dict[str, dict[str, Decimal]] = {}
    if standing.adjusted and standing.own:
        parts = {grant.meter: grant.parts for grant in credited(standing)}
        for grant in _applied(standing):
            rules = found.setdefault(grant.meter, {})
            rule = part_of(grant.parts[0].rule, parts[grant.meter])
            rules[rule] = rules.get(rule, _NOTHING) + _change(grant) - grant.units
    return found


def plus(taken: Taken, more: Taken) -> Taken:
    """Return the sums by meter and rule."""
    meters = dict.fromkeys([*taken, *more])
    return {one: _sums(taken.get(one, {}), more.get(one, {}), 1) for one in meters} if more else taken


def minus(taken: Taken, less: Taken) -> Taken:
    """Return the differences by meter and rule, on the meters of ``taken``."""
    return {one: _sums(rules, less.get(one, {}), -1) for one, rules in taken.items()} if less else taken


def part_of(rule: str, parts: tuple[Part, ...]) -> str:
    """Return the part to which a rule's credits belong: one restored from Polar may be of several rules."""
    names = [part.rule for part in parts]
    shared = (name for name in names if rule in name.split(RULE_SEPARATOR))
    return rule if rule in names else next(shared, rule)


def _applied(standing: Standing) -> Iterator[Grant]:
    for claim in standing.adjustments:
        yield from (grant for grant in claim.grants if grant.meter in claim.settled)


def _change(grant: Grant) -> Decimal:
    """Return by how much an adjustment changes what the rule gave, before refunds.

    An event at Polar whose reason somebody has changed does not say it: then it is what was sent.
    """
    return grant.revision.after - grant.revision.before if grant.revision else grant.units


def _adjusted_parts(parts: tuple[Part, ...], grant: Grant) -> Iterator[Part]:
    (own,) = grant.parts
    home = part_of(own.rule, parts)
    for part in parts:
        is_home = part.rule == home
        yield replace(part, units=max(_NOTHING, part.units + _change(grant))) if is_home else part
    if all(part.rule != home for part in parts):
        yield replace(own, units=max(_NOTHING, _change(grant)))


def _sums(mine: Mapping[str, Decimal], theirs: Mapping[str, Decimal], sign: int) -> dict[str, Decimal]:
    names = dict.fromkeys([*mine, *theirs])
    return {name: mine.get(name, _NOTHING) + sign * theirs.get(name, _NOTHING) for name in names}
