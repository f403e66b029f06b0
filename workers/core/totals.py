"""Adds up what a command would grant and take back, for the line that it prints before it asks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from decimal import Decimal

from msgspec import Struct, field

from config.wording import format_count
from workers.core.grants import Grant
from workers.core.wording import plain

_Place = str  # a meter, a line feed, and an order or a subject


class Totals(Struct, frozen=True, kw_only=True):
    """What would be granted and what would be taken back, each by fact and meter, as positive credits."""

    granted: Mapping[_Place, Decimal]
    taken_back: Mapping[_Place, Decimal]

    def __str__(self) -> str:
        """Return the totals in words: ``5 grants, 250 images; 1 take-back, 30 images``."""
        granted, taken_back = _Side("grant"), _Side("take-back")
        granted.add(self.granted)
        taken_back.add(self.taken_back)
        return _joined(granted, taken_back)


def add_up(
    prospects: Iterable[Iterable[Grant]],
    *,
    granted: MutableMapping[_Place, Decimal] | None = None,
    taken_back: MutableMapping[_Place, Decimal] | None = None,
) -> Totals:
    """Return the totals of what several deliveries would send, each planned as if it ran alone.

    Two deliveries about the same fact credit it once. Take-backs from one order are cumulative, so the
    highest counts. It remembers each fact, in ``granted`` and ``taken_back``, which may be on disk.
    """
    granted = {} if granted is None else granted
    taken_back = {} if taken_back is None else taken_back
    for grants in prospects:
        taken: dict[_Place, Decimal] = defaultdict(Decimal)
        for grant in grants:
            if grant.units > 0:
                granted[_place(grant.subject, grant.meter)] = grant.units
            else:
                taken[_place(grant.order_id or grant.subject, grant.meter)] -= grant.units
        for place, units in taken.items():
            taken_back[place] = max(units, taken_back.get(place, units))
    return Totals(granted=granted, taken_back=taken_back)


def add_up_distinct(prospects: Iterable[Iterable[Grant]]) -> str:
    """Return the totals in the same words where no two prospects are about the same fact.

    It remembers none of them, so there may be millions.
    """
    granted, taken_back = _Side("grant"), _Side("take-back")
    for grants in prospects:
        one = add_up([grants])
        granted.add(one.granted)
        taken_back.add(one.taken_back)
    return _joined(granted, taken_back)


def signed_totals(grants: Iterable[Grant]) -> str:
    """Return what is given and what is taken on each meter: ``+1,665 api_usage, -20 images``."""
    sums: dict[tuple[str, bool], Decimal] = defaultdict(Decimal)
    for grant in grants:
        sums[grant.meter, grant.units < 0] += grant.units
    return ", ".join(f"{units:+,f} {meter}" for (meter, _), units in sorted(sums.items()))


def _place(fact: str, meter: str) -> _Place:
    return f"{meter}\n{fact}"


def _joined(granted: "_Side", taken_back: "_Side") -> str:
    return "; ".join(filter(None, map(str, (granted, taken_back)))) or "no grant"


class _Side(Struct):
    """What is granted, or taken back: how many times, and how much on each meter."""

    noun: str
    count: int = 0
    sums: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, side: Mapping[_Place, Decimal]) -> None:
        """Add more."""
        self.count += len(side)
        for place, units in side.items():
            self.sums[place.partition("\n")[0]] += units

    def __str__(self) -> str:
        """Return it in words; nothing for nothing."""
        credits_ = ", ".join(f"{plain(units)} {meter}" for meter, units in sorted(self.sums.items()))
        return f"{format_count(self.count, self.noun)}, {credits_}" if self.count else ""
