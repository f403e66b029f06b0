"""One simulation: random steps from a seed, the promises after each, and what must hold at rest."""

from collections import Counter

from tests.chaos.simulation.clocked_redis import ClockedRedis
from tests.chaos.simulation.plans import EACH, WEEKS
from tests.chaos.simulation.shop import Sale
from tests.chaos.simulation.steps import STEPS, Steps
from tests.support.sealing import seal
from workers.core.claims import REBUILD
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.store import keys
from workers.timings import DEFAULT_TIMINGS

_REMEMBERED = 0.1
"""The share of steps of which Redis has everything on disk."""
_WEEK_SECONDS = 7 * 86_400
_MOST_IN_A_ROW = 3
_LONGEST_MINUTES = 40
"""By then all work is done: five attempts take twenty minutes, and a lease and a pause may come before."""

_LONGEST_DOUBT_MINUTES = 65
"""After a clock that stepped forward, an event may look overdue: it is read again after an hour."""


class Simulation(Steps):
    """Takes random steps, brings everything to rest, and checks what must hold then."""

    def __init__(self, seed: int, redis: ClockedRedis) -> None:
        super().__init__(seed, redis)
        self.done: Counter[str] = Counter()
        """How often each step was taken."""

    def simulate(self, steps: int) -> None:
        """Take random steps, then rest."""
        try:
            for self.step in range(1, steps + 1):
                (step,) = self.random.choices(list(STEPS), list(STEPS.values()))
                self.done[step.__name__] += 1
                step(self)
                self.clock.hold()
                self.promises.check(self.shop.polar.stored)
                if self.random.random() < _REMEMBERED:
                    self.remember()
            self._rest()
            self._check_rest()
            self._let_periods_end()
            self._check_plans()
        finally:
            self.close()

    def _rest(self) -> None:
        """Let every fault end, and all work be done; people look for what is missing."""
        self.polar.heal()
        for worker in self.workers:
            worker.go_on()
        for webhook_id in self.shop.webhooks:
            self.accept(webhook_id)
        self._work_off()
        self.rebuild()
        self.backfill()
        self.find_disputes()
        self.run(self.store.reopen(self.ids(Status.FAILED)))
        self._work_off()
        seal(self.redis)
        self.rebuild()  # what was told meanwhile
        self._work_off()
        self.promises.check(self.shop.polar.stored)

    def _let_periods_end(self) -> None:
        """Let the time pass that is left of all plans; every subscription that goes on is paid."""
        self.shop.pay_all()
        for _ in range(WEEKS + 2):
            self.clock.wait(_WEEK_SECONDS)
            for _ in range(_MOST_IN_A_ROW):
                for one in self.tickers:
                    one.tick()
                self.look_at_polars_clock()
                self.clock.wait(2)
            self._work_off()
        self.find_disputes()
        self._work_off()
        self.promises.check(self.shop.polar.stored)

    def _check_plans(self) -> None:
        for sale in self.shop.sales.values():
            if sale.plan:
                has_rested = sale.order_id in self.rested
                self.promises.check_plan(
                    sale,
                    may_lack=has_rested,
                    may_keep=has_rested or sale.order_id in self.kept,
                    unsent=self._unsent(sale),
                )

    def _unsent(self, sale: Sale) -> set[str]:
        """Return the meters of which Polar had nothing when Redis lost the claim of a plan.

        A rebuild restores what Polar has, and nothing grants the rest: see "Credits that were not sent" in
        docs/operations/lost-redis.md.
        """
        own = self.ledger.find(order_subject(sale.order_id)).own
        if own is None or own.delivery_id != REBUILD:
            return set()
        return EACH.keys() - {grant.meter for grant in own.grants}

    def _work_off(self) -> None:
        waited = 0
        for _ in range(_LONGEST_MINUTES + _LONGEST_DOUBT_MINUTES):
            self.read_back()
            waiting = self.store.get(self.ids(Status.WAITING))
            waited += bool(waiting)
            assert waited < _LONGEST_MINUTES, f"still waiting: {waiting[0]}"
            if not waiting and not self.redis.exists(keys.UNCONFIRMED):
                return
            self.clock.wait(60)
            for one in self.tickers:
                one.tick()
            while leased := self.store.lease(DEFAULT_TIMINGS.deliveries_per_lease).deliveries:
                self.run(leased)
        raise AssertionError(f"still in doubt: {self.redis.zrange(keys.UNCONFIRMED, 0, -1)}")

    def _check_rest(self) -> None:
        statuses = Counter(one.status for one in self.store.get(self.ids(*Status)))
        assert not statuses[Status.WAITING] + statuses[Status.FAILED], statuses
        for sale in (one for one in self.shop.sales.values() if not one.plan):
            standing = self.ledger.find(order_subject(sale.order_id))
            # Of a dismissed order Polar may have nothing or a part. If it has all, refunds count as ever.
            if sale.order_id not in self.dismissed or self.promises.is_granted(standing):
                self.promises.check_order(sale, standing, may_keep=sale.order_id in self.kept, told=self.told)
