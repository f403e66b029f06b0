"""Everything that can happen to the service, as steps of a state machine; subclasses check the results."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.chaos.model_keys import INSTALMENTS
from tests.chaos.model_rules import FILES
from tests.chaos.model_webhooks import (
    ALL,
    BROKEN_BY,
    CUSTOMERS,
    ORDERS_TODAY,
    REVERSALS,
    SALE_WEBHOOKS,
    WEBHOOKS,
)
from tests.chaos.paid_years import STATES, SUBSCRIPTIONS
from tests.chaos.polar import Mood
from tests.chaos.service import Service
from tests.chaos.stops import Stop
from tests.chaos.workers import Worker
from tests.chaos.world import SentWebhook
from tests.support.moving_clock import DAY
from workers.core.delivery import Lease, Status
from workers.timings import DEFAULT_TIMINGS

NAMES = "ABC"

names = st.sampled_from(NAMES)
copies = st.sampled_from("ab")
stops = st.sampled_from(Stop)
files = st.sampled_from(sorted(FILES))
webhook_names = st.sampled_from(sorted(WEBHOOKS))
reversals = st.sampled_from(sorted(REVERSALS))
stones = st.sampled_from(sorted(BROKEN_BY))
subscriptions = st.sampled_from(sorted(SUBSCRIPTIONS))
states = st.sampled_from(sorted(STATES))
_seconds = st.sampled_from([1, 7, DEFAULT_TIMINGS.lease_seconds, 1000])


class ServiceMachine(RuleBasedStateMachine):
    """Webhooks, workers, Polar's moods and changing rules, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.service = Service()
        self.workers = {name: Worker(self.service) for name in NAMES}
        self.files = {"usual"}
        self.states = {"active"}
        self.accepted: dict[str, SentWebhook] = {}
        self.expired: set[str] = set()
        self.sold = 0

    @rule(name=webhook_names, copy=copies)
    def tell(self, name: str, copy: str) -> None:
        """A webhook arrives: for the first time, under a new id, or again under the old one."""
        self._accept(f"{name}/{copy}", WEBHOOKS[name])

    @rule(those=st.sets(webhook_names | reversals, min_size=2), copy=copies)
    def tell_many(self, those: set[str], copy: str) -> None:
        """Many webhooks arrive at once, and so are leased together."""
        for name in sorted(those):
            self._accept(f"{name}/{copy}", ALL[name])

    @rule(name=reversals, copy=copies)
    def reverse(self, name: str, copy: str) -> None:
        """A refund or a lost dispute arrives, maybe before its order; or somebody revokes an order."""
        self._accept(f"{name}/{copy}", ALL[name])

    @rule(name=st.sampled_from(sorted(ORDERS_TODAY)))
    def backfill(self, name: str) -> None:
        """An order is backfilled: its webhook never arrived, or its settled delivery was pruned."""
        self._accept(f"{name}/backfilled", ORDERS_TODAY[name])

    @precondition(lambda self: self.sold < len(SALE_WEBHOOKS))
    @rule()
    def sell(self) -> None:
        """Cid buys something new."""
        self.sold += 1
        self._accept(f"sale {self.sold}", SALE_WEBHOOKS[f"sale {self.sold}"])

    def _accept(self, delivery_id: str, sent: SentWebhook) -> None:
        self.service.accept(delivery_id, sent.body)
        self.accepted[delivery_id] = sent
        self.expired.discard(delivery_id)

    @rule(name=names, to=stops)
    def work(self, name: str, to: Stop) -> None:
        """A worker continues, or leases what is due, and works up to a stop."""
        worker = self.workers[name]
        if not worker.is_busy:
            worker.begin(self.service.lease(DEFAULT_TIMINGS.deliveries_per_lease))
        worker.go_on(to)

    @rule(name=names)
    def work_to_the_end(self, name: str) -> None:
        """A worker finishes its lease."""
        self.work(name, Stop.END)

    @precondition(lambda self: any(one.is_busy for one in self.workers.values()))
    @rule(name=names)
    def kill(self, name: str) -> None:
        """A worker dies where it is."""
        self.workers[name].kill()

    @precondition(lambda self: self.service.store.deliveries)
    @rule(name=names, to=stops, data=st.data())
    def replay(self, name: str, to: Stop, data: st.DataObject) -> None:
        """An operator replays one delivery or all, whatever their status."""
        worker, store = self.workers[name], self.service.store
        if not worker.is_busy:
            chosen = data.draw(st.sampled_from(["all", *sorted(store.deliveries)]), "which")
            is_named = chosen != "all"
            ids = [chosen] if is_named else store.deliveries
            worker.begin(self.service.reopen(*ids, by_name=is_named))
        worker.go_on(to)

    @precondition(lambda self: self.dismissible)
    @rule(data=st.data())
    def dismiss(self, data: st.DataObject) -> None:
        """An operator dismisses a failed delivery."""
        self.service.dismiss(data.draw(st.sampled_from(self.dismissible), "which"))

    @property
    def dismissible(self) -> list[str]:
        """Return the failed deliveries of which Polar has nothing that the ledger does not know.

        A bonus that Polar has all the same would be released, and claimed by other rules. Polar's answer to
        that claim tells of it. And nobody is at work: what a sleeper sends late is the same case.
        """
        store = self.service.store
        if any(worker.is_busy for worker in self.workers.values()):
            return []
        failed = [id_ for id_, one in store.deliveries.items() if one.status is Status.FAILED]
        return [id_ for id_ in sorted(failed) if not self._open_keys(id_) & self.service.polar.events.keys()]

    def _open_keys(self, delivery_id: str) -> set[str]:
        """Return the keys of the unsettled claims of a delivery's fact."""
        store, subject = self.service.store, self.service.store.deliveries[delivery_id].subject
        subjects = [subject, *store.linked.get(subject, [])]
        claims = [store.claims[one] for one in subjects if one in store.claims]
        return {grant.key for claim in claims for grant in claim.unsettled}

    @rule()
    def read_back(self) -> None:
        """The background process reads back what was unconfirmed."""
        self.service.read_back()

    @rule(seconds=_seconds)
    def wait(self, seconds: int) -> None:
        """Time passes; leases and pauses may end."""
        self.service.clock.advance(seconds)

    @rule(days=st.sampled_from([1, 7, 31, 365]))
    def let_days_pass(self, days: int) -> None:
        """Much time passes; instalments come due."""
        self.service.clock.advance(days * DAY)

    @rule(wrong_seconds=st.sampled_from([0, 0, -DAY, 60, DAY, 40 * DAY]))
    def tick(self, wrong_seconds: int) -> None:
        """A worker ticks: instalments become due by what it believes to be Polar's time."""
        self.service.store.move_due(self.service.clock.now + timedelta(seconds=wrong_seconds))

    @rule(name=subscriptions, state=states)
    def change_subscription(self, name: str, state: str) -> None:
        """Polar shows another state of a subscription."""
        self.service.subscriptions[SUBSCRIPTIONS[name]] = STATES[state]
        self.states.add(state)

    @rule(mood=st.sampled_from([Mood.FINE, *Mood]))
    def change_mood(self, mood: Mood) -> None:
        """Polar's mood changes."""
        self.service.polar.mood = mood

    @rule(name=st.sampled_from(sorted(CUSTOMERS)))
    def forget_customer_or_not(self, name: str) -> None:
        """Polar forgets a customer, or knows them again."""
        self.service.polar.trouble(strangers={CUSTOMERS[name]}, stumbles=set())

    @rule(stone=stones)
    def stumble_or_not(self, stone: str) -> None:
        """Polar starts or stops to answer 500 to all events of a customer or on a meter."""
        self.service.polar.trouble(strangers=set(), stumbles={BROKEN_BY[stone]})

    @rule(name=names, file=files)
    def change_rules(self, name: str, file: str) -> None:
        """A worker loads another rules file; others may still use the old one."""
        self.workers[name].file = FILES[file]
        self.files.add(file)

    @rule()
    def expire(self) -> None:
        """Settled deliveries are pruned, unless a sleeping worker holds them."""
        held = {id_ for worker in self.workers.values() for id_ in worker.holds}
        kept = self.service.store.deliveries
        settled = {id_ for id_, one in kept.items() if one.status in (Status.GRANTED, Status.SKIPPED)}
        for delivery_id in settled - held:
            del kept[delivery_id]
            self.expired.add(delivery_id)

    def finish_all_work(self) -> None:
        """Heal Polar, finish all work, and wake the sleeping workers after that."""
        self.service.polar.heal()
        self._work_off()
        for worker in self.workers.values():
            worker.go_on()
        self._work_off()
        kept = self.service.store.deliveries
        self._work(self.service.reopen(*[id_ for id_, one in kept.items() if one.status is Status.FAILED]))
        self._work_off()  # who woke late may have begun a pause, and then a replay waits

    def _work_off(self) -> None:
        # Take-backs come after their orders, instalments one after the other; a probe that has nothing to
        # send proves nothing.
        for _ in range(2 * (len(self.accepted) + len(INSTALMENTS)) + 2):
            self.service.read_back()
            self.tick(0)
            if all(one.status is not Status.WAITING for one in self.service.store.deliveries.values()):
                return
            self.service.clock.advance(1000)
            self._work(self.service.lease(DEFAULT_TIMINGS.deliveries_per_lease))

    def _work(self, lease: Lease) -> None:
        last = Worker(self.service)
        last.file = self.workers["A"].file
        last.begin(lease)
        last.go_on()

    def stop(self) -> None:
        """End every worker, so that no thread is left."""
        for worker in self.workers.values():
            worker.kill()
