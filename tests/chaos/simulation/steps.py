"""What can happen in a simulation, each as a step."""

from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from tests.chaos.simulation.clocked_redis import Copy
from tests.chaos.simulation.moody_polar import Mood
from tests.chaos.simulation.promises import CORRECTS
from tests.chaos.simulation.service import SimulatedService
from tests.chaos.simulation.shop import CUSTOMERS, FILES
from tests.chaos.simulation.ticker import new_ticker
from tests.chaos.stops import Stop
from tests.support.builders import METERS
from tests.support.real_stores import RETAIN
from tests.support.sealing import AT_ONCE
from workers.core.delivery import Status
from workers.errors import PolarError
from workers.operations.adjust.run import Adjuster, adjustable_rule
from workers.operations.backfill.run import Backfiller
from workers.operations.confirm import Confirmer
from workers.operations.disputes import DisputeFinder
from workers.store import keys
from workers.store.audit import Audit
from workers.store.sealing import Sealer
from workers.store.unconfirmed import UnconfirmedStore
from workers.timings import DEFAULT_TIMINGS

_HOUR = 3600
_CLOCK_STEPS = (-_HOUR, _HOUR, 24 * _HOUR, -60, -24 * _HOUR)
_WAITS = (1, 7, DEFAULT_TIMINGS.lease_seconds, 120, 1000)
_NEW_TICKER = 0.05
_LATER = {*CORRECTS, "instalment"}


class Steps(SimulatedService):
    """The steps; ``STEPS`` says how often each is taken, beside the others."""

    def __post_init__(self) -> None:
        """Begin, and have a copy of Redis to go back to."""
        super().__post_init__()
        self.remember()

    def remember(self) -> None:
        """Keep what Redis has now: it may come back with no more than this."""
        self._copy: Copy = self.clock.copy()
        self._dismissed_then = dict(self.dismissed)

    def sell(self) -> None:
        """Somebody buys."""
        self.shop.sell()

    def sell_plan(self) -> None:
        """Somebody pays a plan in advance."""
        self.shop.sell_plan()

    def change_subscription(self) -> None:
        """A subscription is not paid, or is paid again, or ends."""
        self.shop.change_subscription()

    def let_days_pass(self) -> None:
        """Days pass, and instalments come due."""
        self.clock.wait(self.random.choice([1, 3, 8]) * 24 * _HOUR)
        self.tick()

    def look_at_polars_clock(self) -> None:
        """The background process asks Polar what time it is, if nobody knows."""
        self.clock_watch.run_if_due()

    def tell_again(self) -> None:
        """Polar sends the webhook of an order under another id."""
        self.shop.tell_again()

    def refund(self) -> None:
        """An order is refunded, wholly or in part."""
        self.shop.refund()

    def dispute(self) -> None:
        """A dispute about an order is lost."""
        self.shop.dispute()

    def deliver(self) -> None:
        """A webhook arrives, not always the oldest; it may arrive twice."""
        if self.shop.outbox:
            place = self.random.choice([0, 0, self.random.randrange(len(self.shop.outbox))])
            webhook_id = self.shop.outbox[place]
            if self.random.random() < 0.9:
                del self.shop.outbox[place]
            self.accept(webhook_id)

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
        self.clock.wait(self.random.choice(_WAITS))
        self.tick()

    def tick(self) -> None:
        """A worker looks for due work, and whether the clock was set; or a new one takes its place."""
        place = self.random.randrange(len(self.tickers))
        if self.random.random() < _NEW_TICKER:
            self.tickers[place] = new_ticker(self.redis, self.clock)
        self.tickers[place].tick()

    def read_back(self) -> None:
        """The background process reads back what Polar may have with other amounts."""
        store = UnconfirmedStore(self.redis, self.ledger)
        Confirmer(store=store, polar=self.client, pacer=self.pacer).run_if_due()

    def seal(self) -> None:
        """The background process seals what was settled some time ago."""
        after = self.random.choice([0, 0, 120, _HOUR])
        Sealer(self.redis, replace(AT_ONCE, seal_after_seconds=after)).seal(self.random.choice([1, 50]))

    def step_clock(self) -> None:
        """Somebody sets the clock of the Redis host."""
        self.clock.step(self.random.choice(_CLOCK_STEPS))

    def lose_last_second(self) -> None:
        """Redis comes back without what it was told last."""
        self.clock.turn_back(self._copy)
        self.dismissed = dict(self._dismissed_then)
        for event in self.shop.polar.events:
            subject = event["external_id"].rpartition(":")[0]
            if subject.split(":")[1] == "instalment":
                subject = event["external_id"]
            if subject.split(":")[1] in _LATER and self.ledger.find(subject).own is None:
                self.promises.exposed |= {event["metadata"]["order_id"], event["customer_id"]}

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
        if settled := self.ids(Status.GRANTED, Status.SKIPPED):
            expired = self.random.choice(settled)
            self.redis.delete(keys.delivery(expired), keys.body(expired))

    def replay(self) -> None:
        """A person replays a delivery by its id, whatever became of it."""
        if known := self.ids(Status.FAILED) or self.ids(*Status):
            chosen = self.random.choice(known)
            if self.is_sale(chosen):
                self.dismissed.pop(self.order_of(chosen), None)
            self.run(self.store.reopen([chosen], by_name=True))

    def dismiss(self) -> None:
        """A person puts a failed delivery to rest."""
        if failed := self.ids(Status.FAILED):
            chosen = self.random.choice(failed)
            if self.is_sale(chosen):
                self.dismissed[self.order_of(chosen)] = self.step
            else:
                self.kept.add(self.order_of(chosen))
            self.rested.add(self.order_of(chosen))
            self.store.dismiss([chosen], retain=RETAIN)

    def backfill(self) -> None:
        """A person grants what is missing."""
        now = self.shop.polar.now()
        backfiller = Backfiller(store=self.store, ledger=self.ledger, polar=self.client, pacer=self.pacer)
        rules = self.workers[0].rules
        with suppress(PolarError):
            found = backfiller.find_missing(rules, since=now - timedelta(days=7), until=now, now=now)
            list(backfiller.grant(found, self.granter()))

    def adjust(self) -> None:
        """A person brings earlier orders to other rules; workers, which may die, do it in the end."""
        now, rules = self.shop.polar.now(), self.random.choice(list(FILES.values()))
        audit = Audit(self.redis, self.ledger)
        adjuster = Adjuster(store=self.store, ledger=self.ledger, audit=audit, pacer=self.pacer)
        pack = adjustable_rule("pack", rules)
        with suppress(PolarError):
            found = adjuster.find(
                pack,
                rules,
                since=now - timedelta(days=30),
                until=now + timedelta(days=30),
                polar=self.client,
            )
            for one in found.adjusting:
                self.store.store_and_lease([one.request.delivery()])
                self.redis.zadd(keys.DUE, {one.request.delivery_id: self.clock.milliseconds})

    def mend(self) -> None:
        """A person rebuilds the ledger while the workers work."""
        with suppress(PolarError):
            self.rebuild()

    def find_disputes(self) -> None:
        """The reconciler looks for lost disputes."""
        finder = DisputeFinder(store=self.store, ledger=self.ledger, polar=self.client, pacer=self.pacer)
        with suppress(PolarError):
            list(finder.take_back(finder.find_new(), self.granter()))


STEPS = {
    Steps.sell: 8,
    Steps.sell_plan: 3,
    Steps.change_subscription: 3,
    Steps.let_days_pass: 4,
    Steps.look_at_polars_clock: 4,
    Steps.tell_again: 2,
    Steps.refund: 4,
    Steps.dispute: 2,
    Steps.deliver: 24,
    Steps.work: 40,
    Steps.kill: 3,
    Steps.wait: 10,
    Steps.tick: 4,
    Steps.read_back: 4,
    Steps.seal: 8,
    Steps.step_clock: 1,
    Steps.lose_last_second: 1,
    Steps.change_mood: 4,
    Steps.stumble_or_not: 3,
    Steps.forget_customer_or_not: 2,
    Steps.change_rules: 2,
    Steps.expire: 2,
    Steps.replay: 2,
    Steps.dismiss: 2,
    Steps.backfill: 1,
    Steps.find_disputes: 2,
    Steps.adjust: 2,
    Steps.mend: 1,
}
