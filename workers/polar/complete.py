"""Reads a list of Polar's completely, although its pages overlap and miss rows.

Polar sorts a list by time alone, and a batch puts hundreds of events into one millisecond. Rows of one time
come in an order that depends on the page's number and size. So pages that cut such a group repeat some of its
rows and miss others, the same ones each time. Polar's count of the rows shows whether any were missed. They
are found by reading each group that pages cut on its own, in several orders and sizes of pages.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from workers.polar.lists import Listing, Page, Row, read_pages

ReadPage = Callable[[Listing, int], Page]
"""Reads the page with a number. It may wait, and try again when a request fails."""

_MILLISECOND = timedelta(milliseconds=1)

# How a group of rows with one time is read until all are found: the size of pages, and whether newest first.
# Sizes without a common divisor cut the group at other places each time. A pass finds two thirds or more of
# what is left, and we send at most 500 events at once.
_SIZES = (100, 97, 89, 83, 79, 73, 71, 67, 61, 59, 53, 47, 43, 41)
_CUTS = tuple((size, index % 2 == 1) for index, size in enumerate(_SIZES))

# How the whole list is read, until as many rows are found as Polar counts.
_PASSES = ((100, False), (97, True), (89, False))

# Rows that were added late are new ones, so the newest are read first.
_LATE_PASSES = ((97, True), (100, False), (89, True))

# A list to which rows are added all the time is not read for ever.
_MOST_WAITS = 5


class CompleteReading:
    """All rows of a list: iterate over it, a page of new rows at a time, and then see what is ``missing``.

    A list that lags behind is read again after ``wait_for_late_rows``, until the count is the same after a
    wait as before it.
    """

    def __init__(
        self, listing: Listing, read: ReadPage, *, wait_for_late_rows: Callable[[], object] | None = None
    ) -> None:
        self.total = 0
        """How many rows Polar counts."""
        self.gaps: dict[datetime, int] = {}
        """How many rows of each moment were not found, as far as that is known."""
        self.is_growing = False
        """Whether rows were still being added after the last wait."""
        self._listing = listing
        self._read = read
        self._wait = wait_for_late_rows
        self._seen: set[str] = set()

    @property
    def found(self) -> int:
        """Return how many rows were found."""
        return len(self._seen)

    @property
    def missing(self) -> int:
        """Return how many of the rows that Polar counts were not found."""
        return max(0, self.total - self.found)

    def __iter__(self) -> Iterator[Sequence[Row]]:
        """Yield the rows, each once. They are sorted by time, except those that the first pass missed."""
        yield from self._read_list(_PASSES)
        if self._wait:
            yield from self.late_rows(self._listing, self._wait)

    def late_rows(self, listing: Listing, wait: Callable[[], object]) -> Iterator[Sequence[Row]]:
        """Wait for rows that appear late, and yield them; ``listing`` has at least what was read so far."""
        self._listing = listing
        for _ in range(_MOST_WAITS):
            wait()
            before, self.total = self.total, self._read(listing, 1).total
            self.is_growing = self.total != before
            if not self.is_growing:
                return
            yield from self._read_list(_LATE_PASSES)

    def _read_list(self, passes: Sequence[tuple[int, bool]]) -> Iterator[Sequence[Row]]:
        for size, newest_first in passes:
            cut: list[datetime] = []
            yield from self._read_pass(self._listing.cut(size, newest_first=newest_first), cut)
            for moment in cut:
                if self.missing:
                    yield from self._read_moment(moment)
            if not self.missing:
                self.gaps.clear()  # this pass has found what its moment's own list did not show
                return

    def _read_pass(self, listing: Listing, cut: list[datetime]) -> Iterator[Sequence[Row]]:
        """Yield the new rows of each page; add to ``cut`` each moment that continues on the next page."""
        last: datetime | None = None
        for page in self._pages(listing):
            if not page.items:
                return  # past its last page, Polar counts 0
            self.total = page.total
            if last and self._moment(page.items[0]) == last and last not in cut[-1:]:
                cut.append(last)
            last = self._moment(page.items[-1])
            yield self._new(page.items)
            if not self.missing:
                return

    def _read_moment(self, moment: datetime) -> Iterator[Sequence[Row]]:
        listing = self._listing.between(moment - _MILLISECOND, moment + _MILLISECOND)
        found: set[str] = set()
        for size, newest_first in _CUTS:
            total = 0
            for page in self._pages(listing.cut(size, newest_first=newest_first)):
                total = max(total, page.total)
                found |= {str(row.get("id")) for row in page.items}
                yield self._new(page.items)
            if len(found) >= total:
                self.gaps.pop(moment, None)
                return
            self.gaps[moment] = total - len(found)

    def _pages(self, listing: Listing) -> Iterator[Page]:
        return read_pages(lambda number: self._read(listing, number))

    def _new(self, rows: Sequence[Row]) -> list[Row]:
        new = {id_: row for row in rows if (id_ := str(row.get("id"))) not in self._seen}
        self._seen |= new.keys()
        return list(new.values())

    def _moment(self, row: Row) -> datetime | None:
        """Return a row's time in whole milliseconds, as Polar sorts it; None if it cannot be read."""
        try:
            moment = datetime.fromisoformat(str(row.get(self._listing.sorted_by)))
        except ValueError:
            return None
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
