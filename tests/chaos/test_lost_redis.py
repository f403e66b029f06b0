"""Redis comes back empty: nothing that was credited before is credited again."""

import pytest
from hypothesis.stateful import rule

from tests.chaos.basic_promises import BasicPromises, length


class LostRedis(BasicPromises):
    """The service whose Redis may lose everything, ledger included, at any time."""

    @rule()
    def lose_redis(self) -> None:
        """Deliveries, ledger and pauses are gone; workers and Polar continue."""
        self.service.renew()
        self.accepted.clear()
        self.expired.clear()


LostRedis.TestCase.settings = length(40)
_quiet = pytest.mark.usefixtures("quiet")
_patient = pytest.mark.timeout(600)  # hypothesis needs minutes to shrink a failure
TestLostRedis = pytest.mark.heavy(_patient(_quiet(LostRedis.TestCase)))
