"""Asks Polar what time it is when nobody knows: by that alone, instalments come due."""

import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from config.log import get_log
from workers.errors import PolarDeniedError, PolarError
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.polar.lists import Listing
from workers.store.clock import PolarClock
from workers.store.instalments import InstalmentQueue

log = get_log(__name__)

_AFTER_ERROR_SECONDS = 30.0
_ANY_SUBSCRIPTION = Listing(path="/v1/subscriptions/", per_page=1)


class PolarClockWatch(Struct):
    """Notes how far the clock of Redis is from Polar's, where instalments are to come and it is not known.

    It is not known after the clock of Redis has stepped. It may also have stepped while nothing ran, so the
    first look is always made.
    """

    clock: PolarClock
    queue: InstalmentQueue
    polar: Polar
    pacer: Pacer
    now: Callable[[], float] = time.monotonic
    _has_looked: bool = False
    _retry_at: float = float("-inf")

    def run_if_due(self) -> None:
        """Ask Polar if it is due; after an error, again in half a minute."""
        is_known = self._has_looked and self.clock.is_noted()
        if is_known or self.now() < self._retry_at or not self.queue.has_any():
            return
        try:
            self._look()
        except PolarError as error:
            log.info("Polar's clock not looked at", reason=str(error))
            self._retry_at = self.now() + _AFTER_ERROR_SECONDS

    def _look(self) -> None:
        with suppress(PolarDeniedError):  # this answer has a date, too
            self.pacer.ask(lambda: self.polar.page(_ANY_SUBSCRIPTION))
        if self.polar.clock_ahead is not None:
            self.clock.write(self.polar.clock_ahead)
            self._has_looked = True
