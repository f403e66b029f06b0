"""Pure: finds the meter at Polar that a meter of the rules means, and why it may not count our credits."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from msgspec import Struct

from config.rules import Meter
from config.rules.fields import RESERVED_PROPERTIES
from config.wording import joined, quoted
from workers.core.usage_events import GRANTED_BY
from workers.polar.catalogue import Clause, Filter, PolarMeter

_COMPARED_CHARACTERS = 128  # longer than any event name


class Match(Struct, frozen=True, kw_only=True):
    """A meter at Polar, its certain faults, and its possible faults (doubts)."""

    meter: PolarMeter
    faults: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def distance(self) -> tuple[int, int]:
        """Return how far the meter is from the rules; faults count before doubts."""
        return len(self.faults), len(self.doubts)


def closest_matches(wanted: Meter, meters: Iterable[PolarMeter]) -> list[Match]:
    """Return the meters that fit the rules best; none if no filter looks for the name."""
    matches = [_match(wanted, meter) for meter in meters]
    # A filter without a name accepts every name. Such a meter is meant only if everything else fits.
    meant = [one for one in matches if _looks_for(wanted, one.meter) or one.distance == (0, 0)]
    nearest = min((one.distance for one in meant), default=None)
    return [one for one in meant if one.distance == nearest]


def similar_name(wanted: Meter, meters: Iterable[PolarMeter]) -> str | None:
    """Return the name in a meter's filter that the rules may have meant, or None."""
    names = {
        word[:_COMPARED_CHARACTERS]: str(clause.value)
        for meter in meters
        for clause in meter.filter.leaves()
        if clause.property == "name" and clause.operator == "eq"
        for word in (meter.name, str(clause.value))  # people often write the meter's title into a rule
    }
    close = get_close_matches(wanted.name, names, n=1)
    return names[close[0]] if close else None


def _match(wanted: Meter, meter: PolarMeter) -> Match:
    return Match(
        meter=meter, faults=tuple(_faults(wanted, meter)), doubts=tuple(_doubts(wanted, meter.filter))
    )


def _faults(wanted: Meter, meter: PolarMeter) -> Iterator[str]:
    make = f"make a meter that sums {quoted(wanted.property)}"
    found = meter.aggregation
    if found.func != "sum":
        yield f"aggregates by {found.func}, and only a sum can hold credit: {make}"
    elif found.property != wanted.property:
        found_property = quoted(str(found.property))
        yield f"sums {found_property} and not {quoted(wanted.property)}: {make}, or change the rules"
    if meter.archived_at is not None:
        yield "is archived: unarchive it"


def _doubts(wanted: Meter, node: Filter) -> Iterator[str]:
    if _passes(wanted, node):
        return
    unmet = joined(str(clause) for clause in node.leaves() if not _is_true(wanted, clause))
    ours = ", ".join([wanted.property, *RESERVED_PROPERTIES])
    yield (
        f"filters by more than the name ({unmet}), and our events may not pass: they have only the name and "
        f"{ours}; make a meter that filters by the name alone"
    )


def _looks_for(wanted: Meter, meter: PolarMeter) -> bool:
    return any(
        clause.property == "name" and clause.operator in {"eq", "like"} and _is_true(wanted, clause)
        for clause in meter.filter.leaves()
    )


def _passes(wanted: Meter, node: Clause | Filter) -> bool:
    """Return whether all of our events pass for certain."""
    if isinstance(node, Clause):
        return _is_true(wanted, node)
    passes = [_passes(wanted, one) for one in node.clauses]
    return not passes or (any(passes) if node.conjunction == "or" else all(passes))


def _is_true(wanted: Meter, clause: Clause) -> bool:
    """Return whether a condition is true of all our events on the meter."""
    ours = {"name": wanted.name, "source": "user", "granted_by": GRANTED_BY}.get(clause.property)
    if ours is None or not isinstance(clause.value, str):
        return False
    match clause.operator:
        case "eq":
            return clause.value == ours
        case "ne":
            return clause.value != ours
        case "like":
            return clause.value in ours
    return False
