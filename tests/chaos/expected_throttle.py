"""Works out independently of the store when Polar may be called, from the calls to the throttle."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from tests.support.fake_clock import Clock
from workers.core.delivery import Lease
from workers.timings import DEFAULT_TIMINGS


class ExpectedThrottle:
    """The number of pauses in a row, the end of the last one, and the end of the probe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.outages = 0
        self._calm_from = clock.now
        self._tried_until = clock.now

    def is_calm(self) -> bool:
        """Return whether there is no pause."""
        return self._clock.now >= self._calm_from

    def pause(self, seconds: float) -> None:
        """Record a pause. Overlapping pauses count once, and the longest counts."""
        now = self._clock.now
        if self.is_calm():
            self.outages += 1
        self._calm_from = max(self._calm_from, now + timedelta(seconds=seconds))
        self._tried_until = now

    def release_probe(self) -> None:
        """Record the end of a probe without an answer."""
        self._tried_until = self._clock.now

    def end_outage(self) -> None:
        """Record that Polar accepts events again."""
        self.outages, self._tried_until = 0, self._clock.now

    def check_lease(
        self, lease: Lease, due: Mapping[str, datetime], most: int, most_with: Callable[[str], int]
    ) -> None:
        """Assert that a worker got the due deliveries, oldest first, if it may work now, and else none.

        ``most_with`` tells how many a delivery may be leased with.
        """
        now = self._clock.now
        may = self.is_calm() and (not self.outages or now >= self._tried_until)
        ready = sorted((moment, id_) for id_, moment in due.items() if moment <= now)
        share = max(1, most // 2**self.outages)
        queue = [id_ for _, id_ in ready][:share] if may else []
        sizes = [
            number
            for number in range(len(queue) + 1)
            if all(number <= most_with(id_) for id_ in queue[:number])
        ]
        expected = queue[: max(sizes)]
        assert [one.id for one in lease.deliveries] == expected
        assert not expected or lease.outages == self.outages
        if expected and self.outages:
            self._tried_until = now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
