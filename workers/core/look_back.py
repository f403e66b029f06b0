"""How far back anything looks for paid orders, and so how long an order must be remembered."""

from datetime import timedelta

from config.durations import LONGEST_INTERVAL

# An order may be paid this long after it was created, and it does not say when it was paid.
PAID_WITHIN = timedelta(days=21)

_SHORTEST = timedelta(days=2)  # so that the next round still covers a weekend's outage


def reconciled_since(every: timedelta) -> timedelta:
    """Return how far back a round of the reconciler looks for payments, if it runs this often."""
    return max(2 * every, _SHORTEST)


REDELIVERED_FOR = timedelta(days=90)
"""How long Polar can deliver a webhook again."""

LONGEST_LOOK_BACK = reconciled_since(LONGEST_INTERVAL) + PAID_WITHIN
"""No round of the reconciler reads an order that was created earlier than this before it.

Redis remembers skipped orders in periods of this length. If it changes, earlier ones are not found.
"""
