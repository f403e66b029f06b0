"""A list of Polar's whose rows share their times: pages over them overlap and miss rows, as Polar's do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any
from zlib import crc32

from tests.support.builders import some_id
from workers.polar.lists import Listing, Page

BEGIN = datetime(2026, 11, 21, tzinfo=UTC)
EVER = BEGIN + timedelta(days=365)


@dataclass(kw_only=True)
class TiedList:
    """Rows by the millisecond of their ``timestamp``; ``asked`` keeps every page that was asked for."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    hidden: Callable[[dict[str, Any]], bool] = lambda _row: False
    """Which rows are counted, but never listed."""
    asked: list[tuple[Listing, int]] = field(default_factory=list)

    def add(self, count: int, *, at_ms: int = 0) -> None:
        """Add so many rows of one moment."""
        moment = (BEGIN + timedelta(milliseconds=at_ms)).isoformat()
        first = len(self.rows)
        self.rows += [{"id": some_id(first + i), "timestamp": moment} for i in range(count)]

    def page(self, listing: Listing, number: int) -> Page:
        """Return a page. Rows of one time are in an order that depends on where the page ends."""
        self.asked.append((listing, number))
        query, size = listing.query, listing.per_page
        after, before = (query.get(name) for name in listing.bounds)
        found = [row for row in self.rows if _is_between(after, row["timestamp"], before)]
        sorting = str(query.get("sorting", "-"))

        def place(row: dict[str, Any]) -> tuple[str, int]:
            return row["timestamp"], crc32(f"{number * size} {sorting} {row['id']}".encode())

        found.sort(key=place, reverse=sorting.startswith("-"))
        shown = [row for row in found[(number - 1) * size : number * size] if not self.hidden(row)]
        past_the_end = number > 1 and (number - 1) * size >= len(found)
        return Page(items=shown, total=0 if past_the_end else len(found), last=ceil(len(found) / size))


def _is_between(after: str | Sequence[str] | None, moment: str, before: str | Sequence[str] | None) -> bool:
    at = datetime.fromisoformat(moment)
    return (after is None or at > datetime.fromisoformat(str(after))) and (
        before is None or at < datetime.fromisoformat(str(before))
    )
