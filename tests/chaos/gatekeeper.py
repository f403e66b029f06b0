"""Whether Polar may be asked, as it should be: kept beside the store, from what befell its gate."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from tests.support.fakes import Clock
from workers.core.delivery import Lease
from workers.timings import DEFAULT_TIMINGS


class Gatekeeper:
    """The pauses in a row, how long the last one lasts, and how long somebody may try alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.outages = 0
        self._calm_from = clock.now
        self._tried_until = clock.now

    def is_calm(self) -> bool:
        """Say whether no pause stands."""
        return self._clock.now >= self._calm_from

    def pause(self, seconds: float) -> None:
        """Note a pause: those that overlap count once, and the longest holds."""
        now = self._clock.now
        if self.is_calm():
            self.outages += 1
        self._calm_from = max(self._calm_from, now + timedelta(seconds=seconds))
        self._tried_until = now

    def release_probe(self) -> None:
        """Note that nobody tries any more."""
        self._tried_until = self._clock.now

    def end_outage(self) -> None:
        """Note that Polar takes our events again."""
        self.outages, self._tried_until = 0, self._clock.now

    def check_lease(self, lease: Lease, due: Mapping[str, datetime], most: int) -> None:
        """Assert that a worker got what is due, oldest first, if it may work now, and else nothing."""
        now = self._clock.now
        may = self.is_calm() and (not self.outages or now >= self._tried_until)
        ready = sorted((moment, id_) for id_, moment in due.items() if moment <= now)
        share = max(1, most // 2**self.outages)
        expected = [id_ for _, id_ in ready][:share] if may else []
        assert [one.id for one in lease.deliveries] == expected
        assert not expected or lease.outages == self.outages
        if expected and self.outages:
            self._tried_until = now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
