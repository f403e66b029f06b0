"""Adds up what the ledger has granted and taken back, meter by meter."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from workers.core.claims import Entry

NOTHING = Decimal(0)


class SummedMeter(NamedTuple):
    """A meter as the ledger has it: the name of its events, and the property that is summed."""

    name: str
    property: str


class MeterSum(Struct, frozen=True, kw_only=True):
    """Credits on one meter. What is granted and what is taken back is what Polar has confirmed."""

    granted: Decimal = NOTHING
    taken_back: Decimal = NOTHING
    """Positive."""
    not_at_polar_yet: Decimal = NOTHING


class MeterSums(Struct, kw_only=True):
    """The sums so far. The grants are not kept, so there may be millions."""

    by_meter: dict[SummedMeter, MeterSum] = field(default_factory=dict)

    def add(self, one: Entry, times: int = 1) -> None:
        """Add a grant, or ``times`` grants that are alike."""
        meter = SummedMeter(one.grant.meter, one.grant.property_name)
        self.by_meter[meter] = _plus(self.by_meter.get(meter, MeterSum()), one, one.grant.units * times)


def sum_up(entries: Iterable[Entry]) -> Mapping[SummedMeter, MeterSum]:
    """Return the sums of these grants."""
    sums = MeterSums()
    for one in entries:
        sums.add(one)
    return sums.by_meter


def _plus(so_far: MeterSum, one: Entry, units: Decimal) -> MeterSum:
    if one.granted_at is None:
        return replace(so_far, not_at_polar_yet=so_far.not_at_polar_yet + units)
    if units > 0:
        return replace(so_far, granted=so_far.granted + units)
    return replace(so_far, taken_back=so_far.taken_back - units)
