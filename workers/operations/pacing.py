"""Paces requests to Polar that can wait: after live webhooks, within our share of Polar's rate limit."""

import time
from collections.abc import Callable, Iterator, MutableSet, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct

from workers.errors import PolarBrokenError, PolarRateLimitedError, PolarUnreachableError
from workers.polar.client import Polar
from workers.polar.complete import CompleteReading, ReadPage
from workers.polar.lists import Listing, Page, Row, read_pages
from workers.polar.responses import needs
from workers.polar.slices import SlicedReading
from workers.store.throttle import Throttle

# Twice the window of Polar's rate limit, and twice our longest pause.
_LONGEST_WAIT = timedelta(minutes=2)

# A gateway that fails briefly has recovered by the last of these.
_RETRY_SECONDS = (1.0, 5.0, 15.0)

_LAG = "a credit may appear in its list of events a minute after it was granted"

_REDUCED = "our share of Polar's rate limit is smaller after a 429"

# Shorter waits are not reported: our share of the rate limit usually has room again by then.
_SHORT_WAIT_SECONDS = 4.0

OnProgress = Callable[[int, int], object]
"""Called with how many rows have been read, and how many there are in all."""


def ignore_progress(_read: int, _total: int) -> None:
    """Ignore progress: the default of ``on_progress``."""


ShowWait = Callable[[float, str], object]
"""Sleeps for a number of seconds, and shows a person why."""

Answer = TypeVar("Answer")


class Pacer(Struct, frozen=True, kw_only=True):
    """Makes requests to Polar that can wait, each when there is room for it.

    Where a person waits, ``show_wait`` takes long waits: it sleeps for so many seconds and shows the reason.
    With ``fail_fast`` a pause of Polar is an error after a few seconds: the person only wants to look.
    """

    throttle: Throttle
    sleep: Callable[[float], object] = time.sleep
    show_wait: ShowWait | None = None
    fail_fast: bool = False

    def ask(self, request: Callable[[], Answer]) -> Answer:
        """Make one request when there is room; retry it if Polar is busy or unreachable for a moment."""
        waited = 0.0
        for seconds in _RETRY_SECONDS[:1] if self.fail_fast else _RETRY_SECONDS:
            waited = self.wait(take=True, waited=waited)
            try:
                return request()
            except PolarRateLimitedError as error:
                self.throttle.pause_for_rate_limit(error.retry_after_seconds, str(error))
                waited = 0.0  # Polar is up and says itself how long to wait
            except (PolarBrokenError, PolarUnreachableError) as error:
                self._sleep(seconds, str(error))
                waited += seconds
        self.wait(take=True, waited=waited)
        return request()

    def read(self, polar: Polar, listing: Listing) -> Iterator[Page]:
        """Yield the pages of one of Polar's lists, each requested when there is room."""
        return read_pages(lambda number: self.ask(partial(polar.page, listing, number)))

    def read_completely(self, polar: Polar, listing: Listing) -> CompleteReading:
        """Return the complete reading of a list: iterate over it, then see whether rows are missing."""
        return CompleteReading(listing, self._page_reader(polar))

    def read_in_slices(
        self,
        polar: Polar,
        listing: Listing,
        *,
        seen: MutableSet[str] | None = None,
        lag_seconds: float = 0,
    ) -> SlicedReading:
        """Return the complete reading of a list that may be too long for our memory.

        With ``seen``, which will have the ids of all rows, each row comes once. With ``lag_seconds`` it also
        waits for rows that appear in the list this long after they were added.
        """
        wait = partial(self._sleep, lag_seconds, _LAG) if lag_seconds else None
        return SlicedReading(listing, self._page_reader(polar), seen=seen, wait_for_late_rows=wait)

    def _page_reader(self, polar: Polar) -> ReadPage:
        return lambda listing, number: self.ask(partial(polar.page, listing, number))

    def rows(
        self,
        reading: CompleteReading | SlicedReading,
        *,
        scope: str,
        on_progress: OnProgress = ignore_progress,
    ) -> Iterator[Sequence[Row]]:
        """Yield the rows of a complete reading; a PolarDeniedError names ``scope`` if it is missing."""
        with needs(scope):
            for rows in reading:
                yield rows
                on_progress(reading.found, reading.total)

    def wait(self, *, take: bool, waited: float = 0.0) -> float:
        """Wait until there is room for a request; return the seconds waited, including ``waited``.

        With ``take`` the request counts against the rate limit. Raises PolarUnreachableError if the wait
        would be too long.
        """
        while left := self.throttle.background_delay(take=take, is_awaited=self.show_wait is not None):
            pause = self.throttle.current_pause()
            why = pause.reason if pause else self._why_no_room()
            waited += left.total_seconds()
            most = _SHORT_WAIT_SECONDS if pause and self.fail_fast else _LONGEST_WAIT.total_seconds()
            if waited > most:
                raise PolarUnreachableError(f"no requests to Polar for now: {why}")
            self._sleep(left.total_seconds(), why)
        return waited

    def _sleep(self, seconds: float, why: str) -> None:
        if self.show_wait and seconds > _SHORT_WAIT_SECONDS:
            self.show_wait(seconds, why)
        else:
            self.sleep(seconds)

    def _why_no_room(self) -> str:
        return _REDUCED if self.throttle.reduced_for() else "live webhooks go first"
