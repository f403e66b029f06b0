"""Reads a long list completely, a slice of time after the other: only the ids of one slice are in memory."""

from collections.abc import Callable, Iterator, MutableSet, Sequence
from datetime import datetime, timedelta

from workers.polar.complete import CompleteReading, ReadPage
from workers.polar.lists import Listing, Row

_MOST_ROWS = 20_000  # in a slice: their ids take two megabytes

_SHORTEST = timedelta(seconds=1)  # a slice is not cut below this, however many rows it has

# Two slices overlap by this, because a list may or may not include the rows of its bounds.
_OVERLAP = timedelta(microseconds=1)


class SlicedReading:
    """All rows of a list with bounds: iterate over it, and then see what is ``missing``.

    Without ``seen`` a row of a bound may come twice. With it each comes once: it remembers the ids of all
    rows. A list that lags behind is read on after ``wait_for_late_rows``, as ``CompleteReading`` does it.
    """

    def __init__(
        self,
        listing: Listing,
        read: ReadPage,
        *,
        most_rows: int = _MOST_ROWS,
        seen: MutableSet[str] | None = None,
        wait_for_late_rows: Callable[[], object] | None = None,
    ) -> None:
        self.total = 0
        """How many rows Polar counts."""
        self.found = 0
        """How many rows were found."""
        self.missing = 0
        """How many of the rows that Polar counts were not found."""
        self.missing_around: list[datetime] = []
        """Moments around which rows are missing: the first and the last bound all of them."""
        self.gaps: dict[datetime, int] = {}
        """How many rows of each moment were not found, as far as that is known."""
        self.is_growing = False
        """Whether rows were still being added after the last wait."""
        self._listing = listing
        self._read = read
        self._most_rows = most_rows
        self._seen = seen
        self._wait = wait_for_late_rows
        self._newest = CompleteReading(listing, read)
        self._newest_from = listing

    def __iter__(self) -> Iterator[Sequence[Row]]:
        """Yield the rows, sorted by time, except those that the first pass over their slice missed."""
        self.total = self._count(self._listing)
        yield from self._read_slice(self._listing, self.total)
        if self._wait:
            yield from self._read_late(self._wait)
        if self._seen is not None:
            self.missing = max(0, self.total - self.found)

    def _read_late(self, wait: Callable[[], object]) -> Iterator[Sequence[Row]]:
        """Yield what appears late. It is new, so it is sought from the beginning of the newest slice on."""
        (first, _), (_, last) = self._newest_from.span, self._listing.span
        for moment in self._newest.gaps:
            del self.gaps[moment]
        for rows in self._newest.late_rows(self._listing.between(first, last), wait):
            yield self._new(rows)
        self.gaps |= self._newest.gaps
        self.is_growing = self._newest.is_growing
        self.total = self._count(self._listing)

    def _read_slice(self, listing: Listing, total: int) -> Iterator[Sequence[Row]]:
        halves = self._halves(listing, total)
        for half, rows in halves:
            yield from self._read_slice(half, rows)
        if total and not halves:
            yield from self._read_completely(listing)

    def _halves(self, listing: Listing, total: int) -> list[tuple[Listing, int]]:
        """Return both halves of a slice with too many rows, each with its count; empty for any other."""
        first, last = listing.span
        if total <= self._most_rows or last - first <= _SHORTEST:
            return []
        middle = first + (last - first) / 2
        halves = (listing.between(first, middle), listing.between(middle - _OVERLAP, last))
        counted = [(half, self._count(half)) for half in halves]
        # Where each half has as many rows as both, the server does not know these bounds.
        return counted if sum(rows for _, rows in counted) < 2 * total else []

    def _read_completely(self, listing: Listing) -> Iterator[Sequence[Row]]:
        reading = CompleteReading(listing, self._read)
        self._newest, self._newest_from = reading, listing
        for rows in reading:
            yield self._new(rows)
        if reading.missing:
            self.missing += reading.missing
            self.gaps |= reading.gaps
            is_known = sum(reading.gaps.values()) >= reading.missing
            self.missing_around += sorted(reading.gaps) if is_known else listing.span

    def _new(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Count the rows that were not seen before, and return them."""
        if self._seen is not None:
            rows = [row for row in rows if str(row.get("id")) not in self._seen]
            for row in rows:
                self._seen.add(str(row.get("id")))
        self.found += len(rows)
        return rows

    def _count(self, listing: Listing) -> int:
        return self._read(listing.cut(1, newest_first=False), 1).total
