"""Deliveries, Ledger and Throttle in one object."""

from datetime import timedelta

from tests.support.fake_clock import Clock
from tests.support.fake_store.claiming import Claiming
from tests.support.fake_store.dismissing import Dismissing
from tests.support.fake_store.instalments import MovingInstalments
from tests.support.fake_store.reopening import Reopening
from tests.support.fake_store.settling import Settling
from tests.support.fake_store.taking_back import TakingBack
from tests.support.fake_store.throttle import FakeThrottle
from workers.core.delivery import Lease
from workers.timings import DEFAULT_TIMINGS

_USUAL_ATTEMPTS = 8


class FakeStore(Claiming, TakingBack, Settling, Dismissing, Reopening, MovingInstalments, FakeThrottle):
    """Deliveries, Ledger and Throttle in memory; each method does what the Lua script of its name does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        FakeThrottle.__init__(self, clock)

    def lease(self, most: int) -> Lease:
        """Lease what is due, unless there is a pause or another worker is the probe."""
        now = self._clock.now
        if now < self._paused_until or (self.outages and now < self._probed_until):
            return Lease(deliveries=())
        due = sorted((kept.due, id_) for id_, kept in self.deliveries.items() if kept.due and kept.due <= now)
        limit, chosen = max(1, most // 2**self.outages), list[str]()
        for _, id_ in due[:limit]:
            often = max(0, self.deliveries[id_].attempts + 1 - _USUAL_ATTEMPTS)
            limit = min(limit, max(1, most // 2**often, len(chosen)))
            if len(chosen) == limit:
                break
            chosen.append(id_)
        taken = tuple(map(self._take, chosen))
        if taken and self.outages:
            self._probed_until = now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
        return Lease(deliveries=taken, outages=self.outages)
