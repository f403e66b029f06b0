"""Workers of the simulation: real stores, a real client, and stops at which they can sleep or die."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis

from config.rules import Rules
from tests.chaos.stops import Stop, StoppableWork
from tests.support.real_stores import RETAIN
from workers.core.claims import Standing
from workers.core.delivery import Lease, Outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan
from workers.pipeline.granter import Granter
from workers.pipeline.ports import Polar
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.polar.client import Polar as Client
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

Event = Mapping[str, Any]


class StoppingLedger(Ledger):
    """The ledger, with stops before and after each step."""

    def __init__(self, redis: Redis, stoppable: StoppableWork) -> None:
        super().__init__(redis, retain=RETAIN)
        self._stoppable = stoppable

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim."""
        self._stoppable.at(Stop.BEFORE_CLAIM)
        standings = super().claim(plans, attempts)
        self._stoppable.at(Stop.CLAIMED)
        return standings

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Claim take-backs."""
        self._stoppable.at(Stop.BEFORE_TAKING_BACK)
        super().take_back(claims, attempts)
        self._stoppable.at(Stop.TAKEN_BACK)

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Settle."""
        self._stoppable.at(Stop.BEFORE_SETTLING)
        lost = super().settle(accepted, outcomes, unconfirmed, following)
        self._stoppable.at(Stop.SETTLED)
        return lost


@dataclass(frozen=True)
class StoppingPolar:
    """Polar, with stops before and after a request."""

    polar: Polar
    stoppable: StoppableWork
    note: Callable[[Sequence[Event]], object]

    def ingest(self, events: Sequence[Event]) -> int:
        """Ingest."""
        self.stoppable.at(Stop.BEFORE_SENDING)
        self.note(events)
        try:
            return self.polar.ingest(events)
        finally:
            self.stoppable.at(Stop.SENT)


@dataclass
class Worker:
    """A worker that may be in the middle of a lease."""

    redis: Redis
    client: Client
    rules: Rules
    note: Callable[[int, Sequence[Event]], object]
    """Called with what is sent to Polar, and with the step at which its lease began."""
    _work: StoppableWork | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether it has a lease."""
        return self._work is not None

    def begin(self, lease: Lease, step: int) -> None:
        """Take a lease, and wait before the first step."""
        if lease.deliveries:
            rules = self.rules  # one version for the whole lease
            note = partial(self.note, step)
            self._work = StoppableWork(lambda stoppable: self.granter(stoppable, rules, note).run(lease))

    def go_on(self, to: Stop = Stop.END) -> None:
        """Continue with the lease, if there is one."""
        self._move(lambda work: work.go_on(to))

    def kill(self) -> None:
        """Die; a new worker takes the place."""
        self._move(StoppableWork.kill)

    def _move(self, move: Callable[[StoppableWork], None]) -> None:
        if self._work is not None:
            move(self._work)
            if self._work.is_over:
                self._work = None

    def granter(
        self, stoppable: StoppableWork, rules: Rules, note: Callable[[Sequence[Event]], object]
    ) -> Granter:
        """Return a granter that stops where it is told to."""
        return Granter(
            deliveries=DeliveryStore(self.redis),
            ledger=StoppingLedger(self.redis, stoppable),
            throttle=Throttle(self.redis),
            polar=StoppingPolar(self.client, stoppable, note),
            rules=lambda: rules,
            subscriptions=SubscriptionFinder(self.client, Throttle(self.redis)),
            jitter=lambda: 0.0,
        )
