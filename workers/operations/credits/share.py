"""Makes requests to Polar for a client that waits: within seconds, or not at all. Webhooks go first."""

import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import TypeVar

from msgspec import Struct, field

from workers.errors import PolarRateLimitedError, PolarUnreachableError
from workers.polar.client import Polar
from workers.polar.lists import Listing, Page, Row, read_pages
from workers.store.throttle import Throttle

Answer = TypeVar("Answer")

_LONGEST_WAIT_SECONDS = 2.0
# For a request without which earlier ones would have been made in vain. With a share of 60 requests a minute,
# a few clients take turns in this time.
LONGEST_WAIT_FOR_REST_SECONDS = 10.0

_NO_ROOM = "no requests to Polar for now"


class SharedPolar(Struct, frozen=True, kw_only=True):
    """Polar's API, used within our share of its rate limit."""

    polar: Polar
    throttle: Throttle
    sleep: Callable[[float], object] = time.sleep
    _turn: Lock = field(default_factory=Lock)
    """Held by the one who waits for room: the others would only be in its way."""

    def ask(
        self, request: Callable[[Polar], Answer], *, within_seconds: float = _LONGEST_WAIT_SECONDS
    ) -> Answer:
        """Make a request; PolarUnreachableError if there is no room for it ``within_seconds``."""
        if not self._turn.acquire(timeout=within_seconds):
            raise PolarUnreachableError(_NO_ROOM)
        try:
            self._wait_for_room(within_seconds)
        finally:
            self._turn.release()
        try:
            return request(self.polar)
        except PolarRateLimitedError as error:
            self.throttle.pause_for_rate_limit(error.retry_after_seconds, str(error))
            raise

    def _wait_for_room(self, within_seconds: float) -> None:
        waited = 0.0
        while left := self.throttle.background_delay(take=True).total_seconds():
            waited += left
            if waited > within_seconds:
                raise PolarUnreachableError(_NO_ROOM)
            self.sleep(left)

    def rows(self, path: str) -> Iterator[Row]:
        """Yield all rows of a list."""
        listing = Listing(path=path)
        for page in read_pages(lambda number: self._page(listing, number)):
            yield from page.items

    def _page(self, listing: Listing, number: int) -> Page:
        return self.ask(
            lambda polar: polar.page(listing, number), within_seconds=LONGEST_WAIT_FOR_REST_SECONDS
        )
