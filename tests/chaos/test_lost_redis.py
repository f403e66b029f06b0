"""A Redis that comes back empty: what was credited before is not credited again."""

import pytest
from hypothesis.stateful import rule

from tests.chaos.sound import Sound, length


class LostRedis(Sound):
    """The service whose Redis may lose everything, ledger included, at any time."""

    @rule()
    def lose_redis(self) -> None:
        """Deliveries, ledger and pauses are gone; workers and Polar go on."""
        self.service.renew()
        self.accepted.clear()
        self.expired.clear()


LostRedis.TestCase.settings = length(40)
_quiet = pytest.mark.usefixtures("quiet")
_patient = pytest.mark.timeout(600)  # a failure takes minutes to be made short
TestLostRedis = pytest.mark.heavy(_patient(_quiet(LostRedis.TestCase)))
