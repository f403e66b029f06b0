"""Redis comes back empty, or without its newest data: nothing that was credited before is credited again."""

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.chaos.basic_promises import BasicPromises, length
from tests.chaos.model_webhooks import ALL
from tests.chaos.service import RedisState
from tests.chaos.service_machine import copies, names, reversals, stops, webhook_names
from tests.chaos.stops import Stop
from tests.chaos.world import SentWebhook
from workers.core.delivery import Status


class LostRedis(BasicPromises):
    """The service whose Redis may lose everything, ledger included, at any time."""

    @rule()
    def lose_redis(self) -> None:
        """Deliveries, ledger and pauses are gone; workers and Polar continue."""
        self.service.renew()
        self.accepted.clear()
        self.expired.clear()


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """What was in Redis after a step."""

    state: RedisState
    accepted: dict[str, SentWebhook]
    expired: set[str]


class RewoundRedis(BasicPromises):
    """The service whose Redis may come back as it was some steps ago, while its workers go on."""

    def __init__(self) -> None:
        super().__init__()
        self._moments = deque[_Moment](maxlen=5)

    @precondition(lambda self: self._moments)
    @rule(steps=st.integers(1, 5))
    def lose_the_newest(self, steps: int) -> None:
        """A power failure takes what was written in the last steps."""
        self._return_to(list(self._moments)[-min(steps, len(self._moments))])

    @rule(
        what=st.sets(webhook_names | reversals, min_size=1, max_size=3), copy=copies, name=names, until=stops
    )
    def lose_claims(self, what: set[str], copy: str, name: str, until: Stop) -> None:
        """A worker's lease is on disk, and what it wrote after that is lost while it goes on."""
        self.workers[name].kill()
        for each in sorted(what):
            self._accept(f"{each}/{copy}", ALL[each])
        self.work(name, Stop.BEFORE_CLAIM)
        moment = self._moment()
        self.work(name, until)
        self._return_to(moment)
        self.workers[name].go_on()

    def _moment(self) -> _Moment:
        accepted, expired = dict(self.accepted), set(self.expired)
        return _Moment(state=self.service.redis_state(), accepted=accepted, expired=expired)

    def _return_to(self, moment: _Moment) -> None:
        self.service.rewind(moment.state)
        self.accepted, self.expired = dict(moment.accepted), set(moment.expired)

    def check(self) -> None:
        """Remember this moment as well."""
        super().check()
        self.a_granted_delivery_has_its_claim()
        self._moments.append(self._moment())

    def a_granted_delivery_has_its_claim(self) -> None:
        """Without it nothing would know of the credit, and no refund could take it back."""
        store = self.service.store
        for delivery_id, kept in store.deliveries.items():
            if kept.status is Status.GRANTED:
                assert self.accepted[delivery_id].subject in store.claims

    def check_end(self) -> None:
        """Whatever a delivery has claimed that is still known is settled, unless it was dismissed."""
        super().check_end()
        store = self.service.store
        known = [claim for claim in store.claims.values() if claim.delivery_id in store.deliveries]
        left = [one.subject for one in known if one.unsettled and not one.is_dismissed]
        assert store.dismissed or not left, left


LostRedis.TestCase.settings = length(40)
RewoundRedis.TestCase.settings = length(60)
_quiet = pytest.mark.usefixtures("quiet")
_patient = pytest.mark.timeout(600)  # hypothesis needs minutes to shrink a failure
TestLostRedis = pytest.mark.heavy(_patient(_quiet(LostRedis.TestCase)))
TestRewoundRedis = pytest.mark.heavy(_patient(_quiet(RewoundRedis.TestCase)))
