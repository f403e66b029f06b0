"""What webhooks are worth by the rules of the storm's shop, worked out without the core."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from tests.chaos.storm.shop import RULES
from tests.chaos.world import Amounts, Told
from tests.support.builders import METERS
from tests.support.fakes import Event

Credit = tuple[str, str, Decimal]
"""Whose, on which meter, how much; less than nothing if taken back."""


def credit_in(event: Event) -> Credit:
    """Return what an event says."""
    meter = str(event["name"])
    return str(event["customer_id"]), meter, -Decimal(str(event["metadata"][METERS[meter]]))


def due(told: Iterable[Told]) -> dict[str, Credit]:
    """Return what should be credited, by key."""
    return {
        f"{subject}:{meter}": (one.customer_id, meter, sum(amounts.values(), Decimal(0)))
        for one in told
        for subject, meters in _wanted(one).items()
        for meter, amounts in meters.items()
    }


def to_take_back(told: Sequence[Told]) -> dict[str, Credit]:
    """Return what should be taken back in all, by order and meter: in how many steps is not fixed."""
    shares: defaultdict[str, Fraction] = defaultdict(Fraction)
    for one in told:
        if one.order_id:
            shares[one.order_id] = max(shares[one.order_id], one.share)
    return {
        f"{one.order_id}:{meter}": (one.customer_id, meter, -units)
        for one in told
        for meter, amounts in _wanted(one).get(one.subject, {}).items()
        if (units := _revoked(one, amounts, shares[one.order_id]))
    }


def balances(told: Sequence[Told]) -> dict[tuple[str, str], Decimal]:
    """Return what is left, by customer and meter."""
    left: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for customer_id, meter, units in (*due(told).values(), *to_take_back(told).values()):
        left[customer_id, meter] += units
    return left


def is_credited_itself(told: Told) -> bool:
    """Say whether ``told`` has a credit of its own, not a bonus that another may have had."""
    return told.subject in _wanted(told)


def _wanted(told: Told) -> dict[str, Amounts]:
    return RULES.wants(told) or {}


def _revoked(told: Told, amounts: dict[str, Decimal], share: Fraction) -> Decimal:
    whole = sum((amounts[rule] for rule in amounts.keys() & RULES.revokes(told)), Decimal(0))
    return whole * share.numerator / share.denominator
