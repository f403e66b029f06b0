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

_PATIENCE = 3


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
            limit = min(limit, max(self.most_with(id_, most), len(chosen)))
            if len(chosen) == limit:
                break
            chosen.append(id_)
        taken = tuple(map(self._take, chosen))
        if taken and self.outages:
            self._probed_until = now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
        return Lease(deliveries=taken, outages=self.outages)

    def most_with(self, delivery_id: str, most: int) -> int:
        """Return how many may be leased with a delivery: few, if its last leases had no outcome."""
        kept = self.deliveries[delivery_id]
        return max(1, most >> max(0, kept.attempts - kept.put_off - _PATIENCE))
