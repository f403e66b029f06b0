"""Polar's meters: which one belongs to a meter in the rules, and whether its events make up the balance."""

import time
from collections.abc import Iterator, Sequence
from threading import Lock

from msgspec import Struct, field

from config.rules import Meter
from workers.operations.credits.share import SharedPolar
from workers.polar.catalogue import PolarMeter, PolarProduct, parse_items
from workers.polar.meter_match import closest_matches
from workers.polar.responses import needs

_FRESH_SECONDS = 300.0  # a meter, a metered price or a benefit is rarely added


class Meters(Struct, frozen=True, kw_only=True):
    """The meters of an organization."""

    all: Sequence[PolarMeter] = ()
    managed: frozenset[str] = frozenset()
    """The ids of those that a product prices, or that Polar's own Credits benefit credits."""

    def counting(self, wanted: Meter) -> PolarMeter | None:
        """Return Polar's meter for a meter in the rules, if there is one."""
        active = [meter for meter in self.all if meter.archived_at is None]
        return next((match.meter for match in closest_matches(wanted, active) if not match.faults), None)

    def is_summable(self, meter: PolarMeter) -> bool:
        """Return whether a meter's events alone make its balance."""
        return (
            meter.aggregation.func == "sum" and event_name(meter) is not None and meter.id not in self.managed
        )


class MeterCache(Struct, kw_only=True):
    """Reads the meters from Polar, at most every five minutes."""

    polar: SharedPolar
    _meters: Meters = field(default_factory=Meters)
    _read_at: float = float("-inf")
    _reading: Lock = field(default_factory=Lock)

    def current(self) -> Meters:
        """Return the meters; PolarError if they are too old and cannot be read now.

        One thread reads them, and the others wait for it.
        """
        with self._reading:
            return self._current()

    def _current(self) -> Meters:
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            with needs("products:read"):
                managed = frozenset(self._managed())
            with needs("meters:read"):
                found = parse_items(PolarMeter, self.polar.rows("/v1/meters/"))
            self._meters, self._read_at = Meters(all=found, managed=managed), time.monotonic()
        return self._meters

    def _managed(self) -> Iterator[str]:
        for product in parse_items(PolarProduct, self.polar.rows("/v1/products/")):
            yield from product.billed_meters | product.credited_meters


def event_name(meter: PolarMeter) -> str | None:
    """Return the name of the events that a meter counts; None if its filter says more than that."""
    leaves = list(meter.filter.leaves())
    is_name = [(one.property, one.operator) for one in leaves] == [("name", "eq")]
    return str(leaves[0].value) if is_name else None
