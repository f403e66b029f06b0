"""Adds up what a command would grant and take back, for the line that it prints before it asks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from config.wording import format_count
from workers.core.grants import Grant
from workers.core.wording import plain

_Place = tuple[str, str]  # an order or a subject, and a meter


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What would be granted and what would be taken back, each by fact and meter, as positive credits."""

    granted: Mapping[_Place, Decimal]
    taken_back: Mapping[_Place, Decimal]

    def __str__(self) -> str:
        """Return the totals in words: ``5 grants, 250 images; 1 take-back, 30 images``."""
        texts = [_side_text("grant", self.granted), _side_text("take-back", self.taken_back)]
        return "; ".join(filter(None, texts)) or "no grant"


def add_up(prospects: Iterable[Iterable[Grant]]) -> Totals:
    """Return the totals of what several deliveries would send, each planned as if it ran alone.

    Two deliveries about the same fact credit it once. Take-backs from one order are cumulative, so the
    highest counts.
    """
    granted: dict[_Place, Decimal] = {}
    taken_back: dict[_Place, Decimal] = {}
    for grants in prospects:
        taken: dict[_Place, Decimal] = defaultdict(Decimal)
        for grant in grants:
            if grant.units > 0:
                granted[grant.subject, grant.meter] = grant.units
            else:
                taken[grant.order_id or grant.subject, grant.meter] -= grant.units
        for place, units in taken.items():
            taken_back[place] = max(units, taken_back.get(place, units))
    return Totals(granted=granted, taken_back=taken_back)


def signed_totals(grants: Iterable[Grant]) -> str:
    """Return what is given and what is taken on each meter: ``+1,665 api_usage, -20 images``."""
    sums: dict[tuple[str, bool], Decimal] = defaultdict(Decimal)
    for grant in grants:
        sums[grant.meter, grant.units < 0] += grant.units
    return ", ".join(f"{units:+,f} {meter}" for (meter, _), units in sorted(sums.items()))


def _side_text(noun: str, side: Mapping[_Place, Decimal]) -> str:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for (_, meter), units in side.items():
        sums[meter] += units
    credits_ = ", ".join(f"{plain(units)} {meter}" for meter, units in sorted(sums.items()))
    return f"{format_count(len(side), noun)}, {credits_}" if side else ""
