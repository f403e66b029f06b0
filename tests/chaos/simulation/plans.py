"""Plans that are paid in advance and credited in instalments: when each comes, and what is left of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.support.dates import repeated

WEEKS = 13
"""How long a plan is paid for."""
EACH = {"images": 9_000, "seconds": 18_000}
"""What an instalment gives: any share of the price is a whole number of these credits."""


@dataclass(frozen=True)
class Plan:
    """An order that has paid a period of a subscription."""

    subscription_id: str
    begins: datetime

    @property
    def ends(self) -> datetime:
        """Return when the period is over."""
        return self.begins + timedelta(weeks=WEEKS)

    def dates(self, meter: str) -> list[datetime]:
        """Return the dates of all instalments: weekly ones of images, monthly ones of seconds."""
        every = "week" if meter == "images" else "month"
        return list(repeated(every, self.begins, self.ends))


def instalment_of(key: str) -> tuple[str, int, str]:
    """Return order, number and meter of a grant's key; the order's own grant is number 1."""
    kind, order_id, *rest = key.removeprefix("credits:").split(":", 3)
    return (order_id, int(rest[0]), rest[1]) if kind == "instalment" else (order_id, 1, rest[0])


def due(meter: str, number: int, share: Fraction) -> Decimal:
    """Return what so many instalments leave if this share of the price went back."""
    left = EACH[meter] * number * (1 - share)
    assert left.denominator == 1
    return Decimal(left.numerator)
