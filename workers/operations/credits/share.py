"""Makes requests to Polar for a client that waits: within two seconds, or not at all. Webhooks go first."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from workers.errors import PolarRateLimitedError, PolarUnreachableError
from workers.polar.client import Polar
from workers.polar.lists import Listing, Row, read_pages
from workers.store.throttle import Throttle

Answer = TypeVar("Answer")

_LONGEST_WAIT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedPolar:
    """Polar's API, used within our share of its rate limit."""

    polar: Polar
    throttle: Throttle
    sleep: Callable[[float], object] = time.sleep

    def ask(self, request: Callable[[Polar], Answer]) -> Answer:
        """Make a request; PolarUnreachableError if there is no room for it within two seconds."""
        waited = 0.0
        while left := self.throttle.background_delay(take=True).total_seconds():
            waited += left
            if waited > _LONGEST_WAIT_SECONDS:
                raise PolarUnreachableError("no requests to Polar for now")
            self.sleep(left)
        try:
            return request(self.polar)
        except PolarRateLimitedError as error:
            self.throttle.pause_for_rate_limit(error.retry_after_seconds, str(error))
            raise

    def rows(self, path: str) -> Iterator[Row]:
        """Yield all rows of a list."""
        listing = Listing(path=path)
        for page in read_pages(lambda number: self.ask(lambda polar: polar.page(listing, number))):
            yield from page.items
