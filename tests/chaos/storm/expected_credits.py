"""The credits that the webhooks of a storm should lead to, computed without the core."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from tests.chaos.expected_take_backs import rounded_to
from tests.chaos.storm.shop import RULES
from tests.chaos.world import Amounts, SentWebhook
from tests.support.builders import METERS
from tests.support.fake_polar import Event

Credit = tuple[str, str, Decimal]
"""Customer id, meter and units; negative if taken back."""


def credit_in(event: Event) -> Credit:
    """Return the credit in an event."""
    meter = str(event["name"])
    return str(event["customer_id"]), meter, -Decimal(str(event["metadata"][METERS[meter]]))


def due(sent: Iterable[SentWebhook]) -> dict[str, Credit]:
    """Return the expected credits by key."""
    return {
        f"{subject}:{meter}": (one.customer_id, meter, sum(amounts.values(), Decimal(0)))
        for one in sent
        for subject, meters in _wanted(one).items()
        for meter, amounts in meters.items()
    }


def to_take_back(sent: Sequence[SentWebhook]) -> dict[str, Credit]:
    """Return the expected take-backs by order and meter, in total: the number of steps is not fixed.

    What is taken back of plans depends on how many instalments there were: see instalment_checks.py.
    """
    refunded: defaultdict[str, Fraction] = defaultdict(Fraction)
    disputed: defaultdict[str, Fraction] = defaultdict(Fraction)
    for one in sent:
        refunded[one.order_id] = max(refunded[one.order_id], one.share)
        disputed[one.order_id] += one.disputed_share
    shares = {order_id: min(Fraction(1), share + disputed[order_id]) for order_id, share in refunded.items()}
    return {
        f"{one.order_id}:{meter}": (one.customer_id, meter, -units)
        for one in sent
        for meter, amounts in _wanted(one).get(one.subject, {}).items()
        if (units := _revoked(one, amounts, shares[one.order_id]))
    }


def balances(sent: Sequence[SentWebhook]) -> dict[tuple[str, str], Decimal]:
    """Return the expected balances by customer and meter, as far as these webhooks decide them."""
    left: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for customer_id, meter, units in (*due(sent).values(), *to_take_back(sent).values()):
        left[customer_id, meter] += units
    return left


def is_credited_itself(sent: SentWebhook) -> bool:
    """Return whether ``sent`` has credits of its own, besides a bonus that another may have earned."""
    return sent.subject in _wanted(sent)


def _wanted(sent: SentWebhook) -> dict[str, Amounts]:
    return RULES.expects(sent) or {}


def _revoked(sent: SentWebhook, amounts: dict[str, Decimal], share: Fraction) -> Decimal:
    step = rounded_to(amounts.values())
    revoked = [amounts[rule] for rule in amounts.keys() & RULES.revokes(sent)]
    if share == 1:
        return sum(revoked, Decimal(0))
    taken = sum(math.floor(Fraction(one) * share / step) for one in revoked)
    return Decimal(taken) * step.numerator / step.denominator
