"""What an order's rules have begun to give it: its own grant, and as many instalments as were claimed.

Refunds and disputes take a share of all that was begun. Part of that share may never have been given: an
instalment after a refund is smaller from the start. What it lacks counts as taken back.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from workers.core.adjusted import credited, plus, taken_by_adjusting
from workers.core.claims import Claim, Standing, Taken
from workers.core.grants import Grant, Part


def begun(standing: Standing) -> tuple[Grant, ...]:
    """Return the fact's own grants as adjusted, with each part times its instalments so far."""
    grants = credited(standing)
    if not standing.begun:
        return grants
    return tuple(replace(one, parts=tuple(_times(standing, one.meter, one.parts))) for one in grants)


def taken_otherwise(standing: Standing) -> Taken:
    """Return what counts as taken back without a take-back: by adjusting, and withheld from instalments."""
    return plus(taken_by_adjusting(standing), withheld(standing))


def taken_in_all(standing: Standing) -> Taken:
    """Return what counts as taken back of all that was begun, by meter and rule."""
    return plus(standing.taken, taken_otherwise(standing))


def withheld(standing: Standing) -> Taken:
    """Return what instalments gave less than their rules' parts, by meter and rule.

    One that Polar refused, and that a person has dismissed, gave nothing.
    """
    found: dict[str, dict[str, Decimal]] = {}
    for claim in standing.instalments:
        for grant in claim.grants:
            rules = found.setdefault(grant.meter, {})
            for rule, units in _lacking(standing, claim, grant):
                rules[rule] = rules.get(rule, Decimal(0)) + units
    return found


def _times(standing: Standing, meter: str, parts: tuple[Part, ...]) -> Iterator[Part]:
    number = standing.begun.get(meter, 1)
    for part in parts:
        yield replace(part, units=part.units * number) if part.every else part


def _lacking(standing: Standing, claim: Claim, grant: Grant) -> Iterator[tuple[str, Decimal]]:
    is_given = not claim.is_dismissed or grant.meter in claim.settled
    given = {part.rule: part.units for part in grant.parts} if is_given else {}
    for own in credited(standing):
        for part in own.parts if own.meter == grant.meter else ():
            if part.every:
                yield part.rule, part.units - given.get(part.rule, Decimal(0))
