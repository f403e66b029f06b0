"""Computes how much refunds and lost disputes take back: their share of the order, applied to each part."""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from config.cel.numbers import MAX_DIGITS
from workers.core.grants import Grant, Part

# A third of 10.5 credits has endless decimals. Six are enough, and a full refund takes the rest.
_FINEST_EXPONENT = -6


def reversed_units(
    grant: Grant, refunded: Fraction, disputed: Fraction, finest: Decimal | None = None
) -> Iterator[tuple[str, Decimal]]:
    """Yield each rule with the credits that these shares take from it: rounded down, but all at share 1.

    A part may be taken back by refunds, by lost disputes, or by both together. ``finest`` is what shares are
    rounded to: that of a single instalment, where the parts are sums of several.
    """
    exponent = int((finest or finest_share(grant.parts)).as_tuple().exponent)
    for part in grant.parts:
        if part.revocable or part.disputable:
            share = min(Fraction(1), part.revocable * refunded + part.disputable * disputed)
            steps = math.floor(Fraction(part.units) * share / Fraction(10) ** exponent)
            yield part.rule, part.units if share == 1 else Decimal(steps).scaleb(exponent)


def finest_share(parts: Sequence[Part]) -> Decimal:
    """Return the smallest number of credits that a share of such parts can be."""
    return Decimal(1).scaleb(_exponent([part.units for part in parts]))


def _exponent(units: list[Decimal]) -> int:
    """Return the exponent to round to: whole credits if all of these are whole.

    Polar adds binary floats. Its sums of whole credits are exact, however they are taken back. A sum of
    fractions has no more digits here than a float keeps.
    """
    if all(one == one.to_integral_value() for one in units):
        return 0
    return max(sum(units, Decimal(0)).adjusted() - MAX_DIGITS + 1, _FINEST_EXPONENT)
