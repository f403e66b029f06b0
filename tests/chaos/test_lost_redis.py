"""A Redis that comes back empty: what was credited before is not credited again."""

import pytest
from hypothesis.stateful import rule

from tests.chaos.sound import Sound, length
from tests.fakes import FakeStore


class LostRedis(Sound):
    """The service whose Redis may lose everything, ledger included, at any time."""

    @rule()
    def lose_redis(self) -> None:
        """Deliveries, ledger and pauses are gone; workers and Polar go on."""
        self.service.store = FakeStore(self.service.clock)
        self.accepted.clear()
        self.expired.clear()


LostRedis.TestCase.settings = length(60)
TestLostRedis = pytest.mark.usefixtures("quiet")(LostRedis.TestCase)
