"""What can wait takes its turn: behind live webhooks, within our share of Polar's rate limit, in batches."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from config.durations import format_duration
from workers.core.delivery import Lease, Leased, Outcome, Status
from workers.errors import PolarBrokenError, PolarRateLimitedError, PolarUnreachableError
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import Listing, Page, Row, pages
from workers.polar.responses import needs
from workers.store.deliveries import DeliveryStore
from workers.store.throttle import Throttle

# Twice the window of Polar's rate limit, and of the longest pause of our own.
_LONGEST_WAIT = timedelta(minutes=2)

# A gateway that hiccups is well again by then.
_RETRY_SECONDS = (1.0, 5.0, 15.0)

# Nobody wonders so soon, and our share of the rate limit has room again by then, as a rule.
_UNNOTICED_SECONDS = 4.0

OnProgress = Callable[[int, int], object]
"""Is told how many rows have been read, and how many there are."""


def ignore_progress(_read: int, _total: int) -> None:
    """Show no progress."""


Answer = TypeVar("Answer")
Item = TypeVar("Item")


def ignore_notice(_words: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Pacer:
    """When what can wait may be asked of Polar."""

    throttle: Throttle
    sleep: Callable[[float], object] = time.sleep
    notify: Callable[[str], object] = ignore_notice
    """Is told what is waited for, and how long at most."""
    fail_fast: bool = False
    """Somebody looks: they rather hear that Polar is away than wait until it is back."""

    def ask(self, request: Callable[[], Answer]) -> Answer:
        """Make one request when it is its turn; again, where Polar was busy or away for a moment."""
        waited = 0.0
        for seconds in _RETRY_SECONDS[:1] if self.fail_fast else _RETRY_SECONDS:
            waited = self.wait(take=True, waited=waited)
            try:
                return request()
            except PolarRateLimitedError as error:
                self.throttle.pause_for_rate_limit(error.retry_after_seconds, str(error))
                waited = 0.0  # it is there, and knows how long it wants to be left alone
            except (PolarBrokenError, PolarUnreachableError) as error:
                self._sleep(seconds, str(error))
                waited += seconds
        self.wait(take=True, waited=waited)
        return request()

    def read(self, polar: Polar, listing: Listing) -> Iterator[Page]:
        """Yield a list of Polar's page by page, each when it is its turn."""
        return pages(lambda number: self.ask(partial(polar.page, listing, number)))

    def rows(
        self, polar: Polar, listing: Listing, *, scope: str, on_progress: OnProgress = ignore_progress
    ) -> Iterator[Sequence[Row]]:
        """Yield the rows of a list page by page; PolarDeniedError names ``scope`` if the token lacks it."""
        read = 0
        with needs(scope):
            for page in self.read(polar, listing):
                yield page.items
                read += len(page.items)
                on_progress(read, page.total)

    def wait(self, *, take: bool, waited: float = 0.0) -> float:
        """Wait until there is room for a request; ``take``: it is made next, and counts.

        Returns how many seconds that took with those before: PolarUnreachableError if it would be too many.
        """
        while left := self.throttle.background_delay(take=take):
            pause = self.throttle.current_pause()
            why = pause.reason if pause else "live webhooks go first"
            waited += left.total_seconds()
            most = _UNNOTICED_SECONDS if pause and self.fail_fast else _LONGEST_WAIT.total_seconds()
            if waited > most:
                raise PolarUnreachableError(f"Polar is not asked for now: {why}")
            self._sleep(left.total_seconds(), why)
        return waited

    def _sleep(self, seconds: float, why: str) -> None:
        if seconds > _UNNOTICED_SECONDS:
            self.notify(f"waiting for Polar, {format_duration(_LONGEST_WAIT)} at most: {why}")
        self.sleep(seconds)


def run_batches(
    items: Sequence[Item],
    take: Callable[[Sequence[Item]], tuple[Leased, ...]],
    *,
    pacer: Pacer,
    granter: Granter,
    store: DeliveryStore,
) -> Iterator[list[Outcome]]:
    """Take deliveries, some hundreds at a time, and run them; yield what became of them.

    PolarUnreachableError if Polar takes nothing: what was not begun is left as it was.
    """
    most = granter.timings.deliveries_per_lease
    for start in range(0, len(items), most):
        pacer.wait(take=False)
        outcomes = granter.run(Lease(deliveries=take(items[start : start + most])))
        held_up = [one for one in outcomes if one.status is Status.WAITING and not one.strike]
        yield [one for one in outcomes if one not in held_up]
        if held_up:
            pacer.wait(take=False)
            taken = store.reopen([one.delivery_id for one in held_up])
            outcomes = granter.run(Lease(deliveries=taken))
            yield outcomes
            if all(one.status is Status.WAITING for one in outcomes):
                raise PolarUnreachableError(f"Polar takes nothing now: {held_up[0].reason}")
