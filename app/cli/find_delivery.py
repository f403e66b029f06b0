"""Finds deliveries by their ids, or by the start of an id."""

from collections.abc import Sequence
from itertools import islice

from app.cli.output import format_age
from app.errors import CommandError
from workers.core.delivery import Delivery
from workers.store.stores import Stores

_LEAST_START = 4  # characters of an id; fewer are a slip of the keyboard
_MOST_SEARCHED = 10_000  # the newest deliveries, so that no search takes long
_MOST_CANDIDATES = 5


def find_deliveries(held: Stores, ids: Sequence[str]) -> list[Delivery]:
    """Return these deliveries, each once; CommandError names those that are unknown.

    An id may be shortened to what is unique among the newest deliveries.
    """
    found = {one.id: one for one in held.deliveries.get(ids)}
    starts = [id_ for id_ in dict.fromkeys(ids) if id_ not in found]
    by_start = deliveries_starting_with(held, starts)
    missing = [start for start, matching in by_start.items() if not matching]
    if missing:
        raise CommandError(
            f"no delivery {', '.join(sorted(missing))}: `credits deliveries` lists those that are kept, "
            "with --order ID those about an order"
        )
    found |= {one.id: one for start, matching in by_start.items() for one in [_only(start, matching)]}
    return list(found.values())


def deliveries_starting_with(held: Stores, starts: Sequence[str]) -> dict[str, list[Delivery]]:
    """Return for each start of an id the deliveries that it may mean, among the newest."""
    found: dict[str, list[Delivery]] = {start: [] for start in starts}
    if any(len(start) >= _LEAST_START for start in starts):
        for one in islice(held.deliveries.newest(), _MOST_SEARCHED):
            for start in starts:
                if len(start) >= _LEAST_START and one.id.startswith(start):
                    found[start].append(one)
    return found


def _only(start: str, matching: Sequence[Delivery]) -> Delivery:
    if len(matching) > 1:
        listed = [f"{one.id} ({one.type or '?'}, {format_age(one.received_at)})" for one in matching]
        more = [f"{len(listed) - _MOST_CANDIDATES} more"] if len(listed) > _MOST_CANDIDATES else []
        candidates = ", ".join(listed[:_MOST_CANDIDATES] + more)
        raise CommandError(f"{start} is the start of {len(matching)} deliveries: {candidates}")
    return matching[0]
