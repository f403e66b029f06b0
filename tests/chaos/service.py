"""What the workers of the model share: a clock, a store, Polar, and what is known of them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from tests.chaos.expected_throttle import ExpectedThrottle
from tests.chaos.own_deliveries import is_own_delivery
from tests.chaos.paid_years import STATES, SUBSCRIPTIONS
from tests.chaos.polar import MoodyPolar
from tests.chaos.runs import WorkLog
from tests.support.fake_clock import Clock
from tests.support.fake_store.reading_back import read_back
from tests.support.fake_store.store import FakeStore
from workers.core.delivery import Lease, Outcome, Status


@dataclass(frozen=True, kw_only=True)
class RedisState:
    """What is in Redis, and the numbers by which the model knows its deliveries."""

    store: FakeStore
    attempts: dict[str, int]
    strikes: dict[str, int]


@dataclass
class Service:
    """Everything that the workers share."""

    clock: Clock = field(default_factory=Clock)
    store: FakeStore = field(init=False)
    expected_throttle: ExpectedThrottle = field(init=False)
    polar: MoodyPolar = field(default_factory=MoodyPolar)
    work_log: WorkLog = field(default_factory=WorkLog)
    subscriptions: dict[str, Mapping[str, Any] | None] = field(
        default_factory=lambda: dict.fromkeys(SUBSCRIPTIONS.values(), STATES["active"])
    )
    arrived: dict[str, datetime] = field(default_factory=dict)
    """When Polar got each event, by its clock."""
    _attempts: dict[str, int] = field(init=False, repr=False)
    _strikes: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start with an empty Redis."""
        self.store, self.expected_throttle = FakeStore(self.clock), ExpectedThrottle(self.clock)
        self._attempts, self._strikes = {}, {}

    def redis_state(self) -> RedisState:
        """Return what is in Redis now."""
        # The clock goes on, whatever Redis loses.
        store = deepcopy(self.store, {id(self.clock): self.clock})
        return RedisState(store=store, attempts=dict(self._attempts), strikes=dict(self._strikes))

    def rewind(self, state: RedisState) -> None:
        """Go on with an earlier state of Redis, without its pauses: who meets an outage pauses again."""
        store = deepcopy(state.store, {id(self.clock): self.clock})
        store.forget_pauses()
        self.store, self.expected_throttle = store, ExpectedThrottle(self.clock)
        self._attempts, self._strikes = dict(state.attempts), dict(state.strikes)

    def accept(self, delivery_id: str, body: bytes) -> None:
        """Store a delivery; check that a known one does not change."""
        known = self.store.deliveries.get(delivery_id)
        self.store.accept(delivery_id, body)
        assert known in (None, self.store.deliveries[delivery_id])
        if known is None:
            self._attempts[delivery_id] = self._strikes[delivery_id] = 0

    def lease(self, most: int) -> Lease:
        """Lease as a worker does; check that only due deliveries are leased, and none during a pause."""
        due = {id_: one.due for id_, one in self.store.deliveries.items() if one.due}
        limits = {id_: self.store.most_with(id_, most) for id_ in due}
        lease = self.store.lease(most)
        self.expected_throttle.check_lease(lease, due, most, limits.__getitem__)
        self._check_numbers(lease)
        return lease

    def reopen(self, *ids: str, by_name: bool = False) -> Lease:
        """Lease deliveries for a replay; their strikes start again from 0."""
        lease = self.store.reopen(*ids, by_name=by_name)
        self._forget_released()
        self._strikes.update(dict.fromkeys(ids, 0))
        self._check_numbers(lease)
        return lease

    def _check_numbers(self, lease: Lease) -> None:
        for one in lease.deliveries:
            if is_own_delivery(one.id):  # made due again, it has lost its lease and its strikes
                self._attempts[one.id], self._strikes[one.id] = one.attempt - 1, one.strikes
            self._attempts[one.id] += 1
            assert (one.attempt, one.strikes) == (self._attempts[one.id], self._strikes[one.id])

    def read_back(self) -> None:
        """Confirm what Polar has as the ledger has it."""
        read_back(self.store, self.polar)

    def note_arrivals(self) -> None:
        """Note when Polar got its newest events."""
        for key in islice(self.polar.events, len(self.arrived), None):
            self.arrived[key] = self.clock.now

    def count_strikes(self, outcomes: Sequence[Outcome]) -> None:
        """Record how often each delivery has failed alone."""
        for one in outcomes:
            self._strikes[one.delivery_id] += one.strike

    def dismiss(self, delivery_id: str) -> None:
        """Dismiss a delivery; a bonus that is released may be claimed for another order, by other rules."""
        self.store.dismiss(delivery_id)
        self._forget_released()

    def _forget_released(self) -> None:
        """Forget what was claimed and sent of claims that were given up: others may be made instead."""
        for subject in self.work_log.frozen.keys() - self.store.claims.keys():
            del self.work_log.frozen[subject]
            self.work_log.released.append(subject)
        keys = {grant.key for claim in self.store.claims.values() for grant in claim.grants}
        for key in self.polar.first_told.keys() - keys:
            del self.polar.first_told[key]

    def attempts(self, delivery_id: str) -> int:
        """Return the number of a delivery's last attempt."""
        return self.store.deliveries[delivery_id].attempts

    def holds(self, delivery_id: str, attempt: int) -> bool:
        """Return whether the lease with this attempt is still the last one of a waiting delivery."""
        kept = self.store.deliveries.get(delivery_id)
        return kept is not None and kept.status is Status.WAITING and kept.attempts == attempt
