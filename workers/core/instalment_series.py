"""Lists the later instalments that a plan leads to: how much on each meter, how often, and when."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from config.intervals import Every
from workers.core.grants import Grant
from workers.core.schedule import PaidPeriod, instalment_dates
from workers.core.wording import plain


class Series(Struct, frozen=True, kw_only=True):
    """The later instalments of an order on one meter: each gives ``units``, on each of ``dates``."""

    key: str
    """The key of the order's own grant, which is the first instalment."""
    meter: str
    units: Decimal
    every: Every
    dates: Sequence[datetime]

    @property
    def text(self) -> str:
        """Return it as text: ``1000 api_usage each month, 11 times from 2026-12-28 to 2027-10-28``."""
        days = [f"{at:%Y-%m-%d}" for at in (self.dates[0], self.dates[-1])]
        number = len(self.dates)
        when = f"{number} times from {days[0]} to {days[1]}" if number > 1 else f"once, on {days[0]}"
        return f"{plain(self.units)} {self.meter} each {self.every}, {when}"


def later_instalments(grants: Sequence[Grant], period: PaidPeriod | None) -> Iterator[Series]:
    """Yield what follows these grants of an order, by meter; nothing where they are the only ones."""
    for grant in grants if period else ():
        repeated = [part for part in grant.parts if part.every]
        every = repeated[0].every if repeated else None
        if period is None or every is None:
            continue
        _, *dates = instalment_dates(period, every)
        if dates:
            units = sum((part.units for part in repeated), Decimal(0))
            yield Series(key=grant.key, meter=grant.meter, units=units, every=every, dates=dates)


def series_text(grants: Sequence[Grant], period: PaidPeriod | None) -> str:
    """Return what follows these grants as text; empty if nothing does."""
    return "; ".join(one.text for one in later_instalments(grants, period))
