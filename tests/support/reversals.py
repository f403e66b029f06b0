"""What refunds take back of an order that has no disputes."""

from workers.core.claims import Standing
from workers.core.later_claims import TakeBack
from workers.core.takebacks import reversals


def refund_take_back(standing: Standing, delivery_id: str) -> TakeBack | None:
    """Return the one take-back that is due after a refund; None if none is."""
    found = reversals(standing, delivery_id)
    assert len(found) <= 1
    return found[0] if found else None
