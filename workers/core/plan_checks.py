"""Finds what makes a plan fail although each amount is known: inexact sums, and an unknown paid period."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from config.cel.numbers import MAX_DIGITS
from workers.core.grants import Grant, Part
from workers.core.schedule import MOST_INSTALMENTS, PaidPeriod, count

# Shares of fractions have six decimals (see refunds.py).
_SHARE_EXPONENT = -6


def inexact_sums(grants: Sequence[Grant]) -> Iterator[str]:
    """Yield a failure for each grant whose sum has more digits than Polar's numbers keep.

    The amount of a single rule never has so many. What a full refund or a lost dispute takes back is checked
    too, because its sum is sent.
    """
    for grant in grants:
        if len(grant.parts) == 1:
            continue
        for parts in (
            grant.parts,
            [part for part in grant.parts if part.revocable],
            [part for part in grant.parts if part.disputable],
            [part for part in grant.parts if part.revocable and not part.disputable],
            [part for part in grant.parts if part.disputable and not part.revocable],
        ):
            units = sum((part.units for part in parts), Decimal(0))
            if len(units.normalize().as_tuple().digits) > MAX_DIGITS:
                names = ", ".join(part.rule for part in parts)
                yield f"rules {names} add up to {units:f} {grant.meter}: too many digits"
                break


def impossible_instalments(grants: Sequence[Grant], period: PaidPeriod | None) -> Iterator[str]:
    """Yield a failure for each grant whose later instalments cannot be dated, counted or added up."""
    for grant in grants:
        parts = [part for part in grant.parts if part.every]
        if not parts:
            continue
        named = "rule " + ", ".join(part.rule for part in parts)
        every = parts[0].every
        if period is None or every is None:
            yield f"{named}, every: the webhook does not show which period of a subscription was paid"
        elif (number := count(period, every)) > MOST_INSTALMENTS:
            yield f"{named}, every: the paid period has more than {MOST_INSTALMENTS} instalments"
        elif _digits(grant.parts, number) > MAX_DIGITS:
            yield (
                f"{named}, every: {number} instalments add up to a number of {grant.meter} with too many "
                "digits; give whole credits"
            )


def _digits(parts: Sequence[Part], number: int) -> int:
    """Return how many digits a take-back of all instalments may need."""
    total = sum((part.units * (number if part.every else 1) for part in parts), Decimal(0))
    is_whole = all(part.units == part.units.to_integral_value() for part in parts)
    exponents = (int(part.units.normalize().as_tuple().exponent) for part in parts)
    return total.adjusted() + 1 - (0 if is_whole else min(_SHARE_EXPONENT, *exponents))
