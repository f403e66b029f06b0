"""What an order's rules have begun to give it: its own grant, and as many instalments as were claimed.

Refunds and disputes take a share of all that was begun. Part of that share may never have been given: an
instalment after a refund is smaller from the start. What it lacks counts as taken back.
"""

from collections.abc import Iterator
from decimal import Decimal

from msgspec.structs import replace

from workers.core.adjusted import credited, plus, taken_by_adjusting
from workers.core.claims import Claim, Standing, Taken
from workers.core.grants import Grant, Part
from workers.core.refunds import finest_share

_NOTHING = Decimal(0)


def begun(standing: Standing) -> tuple[Grant, ...]:
    """Return the fact's own grants as adjusted, with each part times its instalments so far."""
    grants = credited(standing)
    if not standing.instalments:
        return grants
    return tuple(replace(one, parts=tuple(_times(standing, one.meter, one.parts))) for one in grants)


def taken_otherwise(standing: Standing) -> Taken:
    """Return what counts as taken back without a take-back: by adjusting, and withheld from instalments."""
    return plus(taken_by_adjusting(standing), withheld(standing))


def taken_in_all(standing: Standing) -> Taken:
    """Return what counts as taken back of all that was begun, by meter and rule."""
    return plus(standing.taken, taken_otherwise(standing))


def withheld(standing: Standing) -> Taken:
    """Return what instalments gave less than their rules' parts, by meter and rule."""
    found: dict[str, dict[str, Decimal]] = {}
    own = {grant.meter: grant for grant in credited(standing)}
    for grant in (grant for claim in _given(standing) for grant in claim.grants):
        given = {part.rule: part.units for part in grant.parts}
        rules = found.setdefault(grant.meter, {})
        for part in own[grant.meter].parts:
            if part.every:
                lacking = part.units - given.get(part.rule, _NOTHING)
                rules[part.rule] = rules.get(part.rule, _NOTHING) + lacking
    return found


def most_rounded_off(standing: Standing, meter: str) -> Decimal:
    """Return how much less than their share instalments lack at most: each share is rounded by itself."""
    own = next((grant for grant in credited(standing) if grant.meter == meter), None)
    repeated = [part for part in own.parts if part.every] if own else []
    number = sum(grant.meter == meter for claim in _given(standing) for grant in claim.grants)
    return number * len(repeated) * finest_share(repeated) if repeated else _NOTHING


def _times(standing: Standing, meter: str, parts: tuple[Part, ...]) -> Iterator[Part]:
    number = 1 + sum(grant.meter == meter for claim in _given(standing) for grant in claim.grants)
    for part in parts:
        yield replace(part, units=part.units * number) if part.every else part


def _given(standing: Standing) -> Iterator[Claim]:
    """Yield the instalments that count: not those that Polar refused and a person has dismissed."""
    return (one for one in standing.instalments if one.settled or not one.is_dismissed)
