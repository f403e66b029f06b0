"""Everything in a simulation: Redis and its clock, Polar, the shop, workers that may be under way."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import cast

from app.demo.polar import Polar
from tests.chaos.simulation.clocked_redis import ClockedRedis, SimulatedClock
from tests.chaos.simulation.moody_polar import MoodyPolar
from tests.chaos.simulation.promises import CORRECTS, Promises
from tests.chaos.simulation.shop import FILES, Shop
from tests.chaos.simulation.ticker import new_ticker
from tests.chaos.simulation.workers import Event, Worker
from tests.chaos.stops import StoppableWork
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Leased, Status
from workers.core.envelope import ORDER_PAID, peek_type
from workers.operations.pacing import Pacer
from workers.operations.polar_clock import PolarClockWatch
from workers.operations.rebuild.run import Rebuilder
from workers.pipeline.granter import Granter
from workers.polar.client import Polar as Client
from workers.store import keys
from workers.store.clock import PolarClock
from workers.store.deliveries import DeliveryStore
from workers.store.instalments import InstalmentQueue
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore
from workers.store.throttle import Throttle

_LIST_LAG_SECONDS = 20


@dataclass
class SimulatedService:
    """The service and what is around it; ``seed`` decides everything."""

    seed: int
    redis: ClockedRedis
    step: int = 0
    dismissed: dict[str, int] = field(default_factory=dict)
    """By order, the step at which it was dismissed."""
    kept: set[str] = field(default_factory=set)
    """Orders of which a take-back was dismissed: the customer may keep these credits."""
    rested: set[str] = field(default_factory=set)
    """Orders of which a person has dismissed something: instalments may rest with it."""
    told: set[str] = field(default_factory=set)
    """The keys of Polar's grants of which the last rebuild said that the ledger keeps something else."""

    def __post_init__(self) -> None:
        self.redis.flushdb()
        self.random = Random(self.seed)  # noqa: S311 - it must be reproducible
        self.clock = SimulatedClock(self.redis, round(time.time() * 1000))
        polar = Polar(requests_per_minute=10**9, clock=self.clock.steady_seconds, list_lag=_LIST_LAG_SECONDS)
        self.shop = Shop(polar, self.random)
        self.polar = MoodyPolar(self.shop.polar)
        self.client = Client(url="http://polar.example", token=Polar.token, transport=self.polar)
        self.clock.on_wait = self._let_polars_calendar_pass
        self.store, self.ledger = DeliveryStore(self.redis), Ledger(self.redis, retain=RETAIN)
        self.pacer = Pacer(throttle=Throttle(self.redis), sleep=self.clock.wait)
        self.promises = Promises(self.shop.plans)
        self.clock_watch = PolarClockWatch(
            clock=PolarClock(self.redis),
            queue=InstalmentQueue(self.redis),
            polar=self.client,
            pacer=self.pacer,
            now=self.clock.steady_seconds,
        )
        self.workers = [self._new_worker() for _ in range(3)]
        self.tickers = [new_ticker(self.redis, self.clock) for _ in range(2)]

    def _let_polars_calendar_pass(self, passed: timedelta) -> None:
        self.shop.polar.ahead = passed

    def close(self) -> None:
        """End every worker, so that no thread is left."""
        for worker in self.workers:
            worker.kill()
        self.client.close()
        self.polar.close()

    def rebuild(self) -> None:
        """Bring the ledger to what Polar has, as a person does when told that they differ."""
        rebuilder = Rebuilder(
            store=RestorationStore(self.redis), ledger=self.ledger, polar=self.client, pacer=self.pacer
        )
        rules, now = self.workers[0].rules, self.shop.polar.now()
        found = rebuilder.compare(rules, now=now, on_progress=lambda _done, _whole: None)
        rebuilder.restore(found, on_progress=lambda _done, _whole: None)
        self.told = {one.grant.key for one in found.kept}

    def accept(self, webhook_id: str) -> None:
        """Store a webhook, as the receiver does."""
        if not self.redis.exists(keys.delivery(webhook_id)):
            body = self.shop.webhooks[webhook_id]
            self.store.store_and_lease([(webhook_id, peek_type(body) or "", body)])
            self.redis.zadd(keys.DUE, {webhook_id: self.clock.milliseconds})

    def run(self, leased: tuple[Leased, ...]) -> None:
        """Work on deliveries to the end."""
        worker = self._new_worker()
        worker.begin(Lease(deliveries=leased), self.step)
        worker.go_on()

    def granter(self) -> Granter:
        """Return what a command grants with: it stops nowhere."""
        worker = self._new_worker()
        note = partial(self._note_sent, self.step)
        return worker.granter(StoppableWork(lambda _: None), worker.rules, note)

    def ids(self, *statuses: Status) -> list[str]:
        """Return the deliveries with these statuses."""
        lists = (cast(list[bytes], self.redis.zrange(keys.deliveries(one), 0, -1)) for one in statuses)
        ids = [id_.decode() for one in lists for id_ in one]
        return [one.id for one in self.store.get(ids) if one.status in statuses]

    def is_sale(self, delivery_id: str) -> bool:
        """Return whether the delivery credits an order."""
        return peek_type(self.store.body(delivery_id)) == ORDER_PAID

    def order_of(self, delivery_id: str) -> str:
        """Return the order that a delivery is about."""
        if delivery_id.startswith("dispute-"):
            disputes = {f"dispute-{one.id}": str(one.order_id) for one in self.shop.polar.disputes}
            return disputes[delivery_id]
        own = delivery_id.removeprefix("backfill-").removeprefix("take-back-")
        if delivery_id.startswith("adjust-"):
            own = delivery_id.removeprefix("adjust-").rpartition("-")[0]
        if delivery_id.startswith("instalment-"):
            own = delivery_id.removeprefix("instalment-").rsplit("-", 2)[0]
        return self.shop.order_of.get(delivery_id, own)

    def _new_worker(self) -> Worker:
        return Worker(self.redis, self.client, FILES["usual"], self._note_sent)

    def _note_sent(self, began: int, events: Sequence[Event]) -> None:
        """Check that nothing is sent of an order that was dismissed before the lease began."""
        for event in events:
            data = event["metadata"]
            is_grant = data["key"].split(":")[1] not in {*CORRECTS, "instalment"}
            dismissed = self.dismissed.get(data.get("order_id", ""), began) if is_grant else began
            assert dismissed >= began, f"dismissed at step {dismissed}, but sent: {data['key']}"
