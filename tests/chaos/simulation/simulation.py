"""One simulation: random steps from a seed, the promises after each, and rest at the end."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import cast

from app.demo.polar import Polar
from tests.chaos.simulation.clocked_redis import ClockedRedis, Copy, SimulatedClock
from tests.chaos.simulation.moody_polar import Mood, MoodyPolar
from tests.chaos.simulation.promises import TAKES_BACK, Promises
from tests.chaos.simulation.shop import CUSTOMERS, FILES, Shop
from tests.chaos.simulation.ticker import new_ticker
from tests.chaos.simulation.workers import Event, Worker
from tests.chaos.stops import Stop
from tests.support.builders import METERS
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Leased, Status
from workers.core.envelope import ORDER_PAID, peek_type
from workers.core.grants import order_subject
from workers.errors import PolarError
from workers.polar.client import Polar as Client
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.timings import DEFAULT_TIMINGS

_HOUR = 3600
_NEW_TICKER = 0.05
_LONGEST_MINUTES = 40
"""By then all work is done: five attempts take twenty minutes, and a lease and a pause may come before."""
_STEPS: Mapping[str, int] = {
    "sell": 8,
    "tell_again": 2,
    "refund": 4,
    "deliver": 24,
    "work": 40,
    "kill": 3,
    "wait": 10,
    "tick": 4,
    "step_clock": 1,
    "lose_last_second": 1,
    "change_mood": 4,
    "stumble_or_not": 3,
    "forget_customer_or_not": 2,
    "change_rules": 2,
    "expire": 2,
    "replay": 2,
    "dismiss": 2,
    "backfill": 1,
}
"""How often each step is chosen, beside the others."""


@dataclass
class Simulation:
    """Everything that happens to one service, chosen by a seed."""

    seed: int
    redis: ClockedRedis
    done: Counter[str] = field(default_factory=Counter)
    """How often each step was taken, and what was injected."""
    step: int = 0
    dismissed: dict[str, int] = field(default_factory=dict)
    """By order, the step at which it was dismissed."""
    kept: set[str] = field(default_factory=set)
    """Orders of which a take-back was dismissed: the customer may keep these credits."""

    def __post_init__(self) -> None:
        self.redis.flushdb()
        self.random = Random(self.seed)  # noqa: S311 - it must be reproducible
        self.clock = SimulatedClock(self.redis, round(time.time() * 1000))
        self.shop = Shop(Polar(requests_per_minute=10**9), self.random)
        self.polar = MoodyPolar(self.shop.polar)
        self.client = Client(url="http://polar.example", token=Polar.token, transport=self.polar)
        self.store = DeliveryStore(self.redis)
        self.promises = Promises()
        usual = FILES["usual"]
        self.workers = [Worker(self.redis, self.client, usual, self._note_sent) for _ in range(3)]
        self.tickers = [new_ticker(self.redis, self.clock) for _ in range(2)]
        self._copy: tuple[Copy, dict[str, int]] = (self.clock.copy(), {})

    def run(self, steps: int) -> None:
        """Take random steps, bring everything to rest, and check what must hold then."""
        names, weights = list(_STEPS), list(_STEPS.values())
        try:
            for self.step in range(1, steps + 1):
                name = self.random.choices(names, weights)[0]
                self.done[name] += 1
                getattr(self, name)()
                self.clock.hold()
                self.promises.check(self.shop.polar.events)
                if self.random.random() < 0.1:
                    self._copy = (self.clock.copy(), dict(self.dismissed))
            self.finish()
        finally:
            for worker in self.workers:
                worker.kill()
            self.client.close()
            self.polar.close()

    def _note_sent(self, began: int, events: Sequence[Event]) -> None:
        """Check that nothing is sent of an order that was dismissed before the lease began."""
        for event in events:
            data = event["metadata"]
            is_grant = data["key"].split(":")[1] not in TAKES_BACK
            dismissed = self.dismissed.get(data.get("order_id", ""), began) if is_grant else began
            assert dismissed >= began, f"dismissed at step {dismissed}, but sent: {data['key']}"

    # What happens

    def sell(self) -> None:
        """Somebody buys."""
        self.shop.sell()

    def tell_again(self) -> None:
        """Polar sends the webhook of an order under another id."""
        self.shop.tell_again()

    def refund(self) -> None:
        """An order is refunded, wholly or in part."""
        self.shop.refund()

    def deliver(self) -> None:
        """A webhook arrives, not always the oldest; it may arrive twice."""
        if self.shop.outbox:
            place = self.random.choice([0, 0, self.random.randrange(len(self.shop.outbox))])
            webhook_id = self.shop.outbox[place]
            if self.random.random() < 0.9:
                del self.shop.outbox[place]
            self._accept(webhook_id)

    def _accept(self, webhook_id: str) -> None:
        body = self.shop.webhooks[webhook_id]
        if not self.redis.exists(keys.delivery(webhook_id)):
            self.store.store_and_lease([(webhook_id, peek_type(body) or "", body)])
            self.redis.zadd(keys.DUE, {webhook_id: self.clock.milliseconds})

    def work(self) -> None:
        """A worker continues, or leases what is due, and works up to a stop."""
        worker = self.random.choice(self.workers)
        if not worker.is_busy:
            most = self.random.choice([1, 3, DEFAULT_TIMINGS.deliveries_per_lease])
            worker.begin(self.store.lease(most), self.step)
        worker.go_on(self.random.choice([*Stop, Stop.END, Stop.END]))

    def kill(self) -> None:
        """A worker dies where it is."""
        self.random.choice(self.workers).kill()

    def wait(self) -> None:
        """Time passes; leases and pauses may end."""
        self.clock.wait(self.random.choice([1, 7, DEFAULT_TIMINGS.lease_seconds, 120, 1000]))
        self.tick()

    def tick(self) -> None:
        """A worker looks for due work, and whether the clock was set; or a new one takes its place."""
        place = self.random.randrange(len(self.tickers))
        if self.random.random() < _NEW_TICKER:
            self.tickers[place] = new_ticker(self.redis, self.clock)
        self.tickers[place].tick()

    def step_clock(self) -> None:
        """Somebody sets the clock of the Redis host."""
        self.clock.step(self.random.choice([-_HOUR, _HOUR, 24 * _HOUR, -60, -24 * _HOUR]))

    def lose_last_second(self) -> None:
        """Redis comes back without what it was told last."""
        self.clock.turn_back(self._copy[0])
        self.dismissed = dict(self._copy[1])

    def change_mood(self) -> None:
        """Polar's mood changes."""
        self.polar.mood = self.random.choice([Mood.FINE, Mood.FINE, *Mood])

    def stumble_or_not(self) -> None:
        """Polar begins or stops to answer 500 to a customer's events, or to those on a meter."""
        self.polar.stumbles ^= {self.random.choice([*CUSTOMERS, *METERS])}

    def forget_customer_or_not(self) -> None:
        """Polar forgets a customer, or knows them again."""
        self.polar.strangers ^= {self.random.choice(CUSTOMERS)}

    def change_rules(self) -> None:
        """A worker loads another rules file; others may still use the old one."""
        self.random.choice(self.workers).rules = self.random.choice(list(FILES.values()))

    def expire(self) -> None:
        """A settled delivery expires."""
        settled = self._ids(Status.GRANTED, Status.SKIPPED)
        if settled:
            expired = self.random.choice(settled)
            self.redis.delete(keys.delivery(expired), keys.body(expired))

    def replay(self) -> None:
        """A person replays a delivery by its id, whatever became of it."""
        if known := self._ids(Status.FAILED) or self._ids(*Status):
            chosen = self.random.choice(known)
            if self._is_sale(chosen):
                self.dismissed.pop(self._order_of(chosen), None)
            self._run(self.store.reopen([chosen], by_name=True))

    def dismiss(self) -> None:
        """A person puts a failed delivery to rest."""
        if failed := self._ids(Status.FAILED):
            chosen = self.random.choice(failed)
            self.store.dismiss([chosen], retain=RETAIN)
            if self._is_sale(chosen):
                self.dismissed[self._order_of(chosen)] = self.step
            else:
                self.kept.add(self._order_of(chosen))

    def _is_sale(self, delivery_id: str) -> bool:
        return peek_type(self.store.body(delivery_id)) == ORDER_PAID

    def _order_of(self, delivery_id: str) -> str:
        own = delivery_id.removeprefix("backfill-").removeprefix("take-back-")
        return self.shop.order_of.get(delivery_id, own)

    def backfill(self) -> None:
        """A person grants what is missing."""
        with suppress(PolarError):
            self._operations().backfill()

    # At the end

    def finish(self) -> None:
        """Let every fault end, and all work be done."""
        self.polar.heal()
        for worker in self.workers:
            worker.go_on()
        for webhook_id in self.shop.webhooks:
            self._accept(webhook_id)
        self._work_off()
        self._run(self.store.reopen(self._ids(Status.FAILED)))
        self._work_off()
        rebuild(self._operations())
        self._operations().backfill()
        self._work_off()
        self.promises.check(self.shop.polar.events)
        self._check_rest()

    def _check_rest(self) -> None:
        statuses = Counter(one.status for one in self.store.get(self._ids(*Status)))
        assert not statuses[Status.WAITING] + statuses[Status.FAILED], statuses
        ledger = Ledger(self.redis, retain=RETAIN)
        for sale in self.shop.sales.values():
            if sale.order_id not in self.dismissed:
                standing = ledger.find(order_subject(sale.order_id))
                self.promises.check_order(sale, standing, may_keep=sale.order_id in self.kept)

    def _operations(self) -> Operations:
        return Operations(
            redis=self.redis, polar=self.shop.polar, client=self.client, rules=self.workers[0].rules
        )

    def _work_off(self) -> None:
        for _ in range(_LONGEST_MINUTES):
            if not self._ids(Status.WAITING):
                return
            self.clock.wait(60)
            for one in self.tickers:
                one.tick()
            while leased := self.store.lease(DEFAULT_TIMINGS.deliveries_per_lease).deliveries:
                self._run(leased)
        raise AssertionError(f"still waiting: {self.store.get(self._ids(Status.WAITING))[0]}")

    def _run(self, leased: tuple[Leased, ...]) -> None:
        worker = Worker(self.redis, self.client, self.workers[0].rules, self._note_sent)
        worker.begin(Lease(deliveries=leased), self.step)
        worker.go_on()

    def _ids(self, *statuses: Status) -> list[str]:
        lists = (cast(list[bytes], self.redis.zrange(keys.deliveries(one), 0, -1)) for one in statuses)
        ids = [id_.decode() for one in lists for id_ in one]
        return [one.id for one in self.store.get(ids) if one.status in statuses]
