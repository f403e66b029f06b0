"""Scenarios of several steps that random steps would seldom combine, and in which bugs are likely."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.chaos.model_webhooks import ALL, BROKEN_BY, CUSTOMERS, SALE_WEBHOOKS, YEARS
from tests.chaos.paid_years import SUBSCRIPTIONS
from tests.chaos.polar import Mood
from tests.chaos.service_machine import (
    NAMES,
    ServiceMachine,
    copies,
    files,
    names,
    reversals,
    states,
    stones,
    stops,
    webhook_names,
)
from tests.chaos.stops import Stop
from workers.timings import DEFAULT_TIMINGS

_LONGEST_WAIT_SECONDS = 1000  # longer than every wait between two attempts


@dataclass(frozen=True)
class Change:
    """What changes before another worker takes over."""

    file: str | None
    news: str | None


_sets = st.sets(webhook_names | reversals, min_size=1, max_size=3)
_changes = st.builds(Change, st.none() | files, st.none() | webhook_names | reversals)


class Scenarios(ServiceMachine):
    """Workers that lose their lease while they sleep, outages, and events that break Polar."""

    @rule(
        what=_sets,
        copy=copies,
        pair=st.sampled_from(["AB", "BC", "CA"]),
        sleeps=stops,
        change=_changes,
        is_replayed=st.booleans(),
        comes_to=st.just(Stop.END) | stops,
    )
    def oversleep(
        self,
        *,
        what: set[str],
        copy: str,
        pair: str,
        sleeps: Stop,
        change: Change,
        is_replayed: bool,
        comes_to: Stop,
    ) -> None:
        """A worker sleeps, something changes, another worker does the work, and then the first wakes."""
        self.tell_many(what, copy)
        self.work(pair[0], sleeps)
        self._change(change, pair[1], copy)
        other = self.workers[pair[1]]
        if is_replayed:
            held = self.workers[pair[0]].holds & self.service.store.deliveries.keys()
            other.begin(self.service.reopen(*sorted(held)))
        else:
            self.service.clock.advance(DEFAULT_TIMINGS.lease_seconds)
            other.begin(self.service.lease(DEFAULT_TIMINGS.deliveries_per_lease))
        other.go_on(comes_to)
        self.workers[pair[0]].go_on()

    def _change(self, change: Change, name: str, copy: str) -> None:
        self.workers[name].kill()
        if change.file is not None:
            self.change_rules(name, change.file)
        if change.news is not None:
            self._accept(f"{change.news}/{copy}", ALL[change.news])

    @rule(
        what=st.sets(st.sampled_from(sorted(YEARS)), min_size=1),
        copy=copies,
        pair=st.sampled_from(["AB", "BC", "CA"]),
        dates=st.integers(1, 12),
        sleeps=stops,
        news=st.none() | reversals,
        state=st.just("active") | states,
    )
    def let_instalments_come(
        self,
        *,
        what: set[str],
        copy: str,
        pair: str,
        dates: int,
        sleeps: Stop,
        news: str | None,
        state: str,
    ) -> None:
        """Instalments of plans come one by one, until a worker sleeps with one and something changes."""
        self.tell_many(what, copy)
        self.work_to_the_end(pair[1])
        for turn in range(dates):
            self._go_to_the_next_date()
            if turn == dates - 1:
                self.work(pair[0], sleeps)
                for name in sorted(SUBSCRIPTIONS):
                    self.change_subscription(name, state)
                self._change(Change(file=None, news=news), pair[1], copy)
                self.service.clock.advance(DEFAULT_TIMINGS.lease_seconds)
            self.work_to_the_end(pair[1])
        self.workers[pair[0]].go_on()

    def _go_to_the_next_date(self) -> None:
        clock, store = self.service.clock, self.service.store
        dates = [at for at in store.instalments.values() if at > clock.now]
        if dates:
            clock.now = min(dates)
        self.tick(0)

    @rule(mood=st.sampled_from([one for one in Mood if one is not Mood.FINE]), rounds=st.integers(1, 5))
    def outage(self, mood: Mood, rounds: int) -> None:
        """Polar is away for a while and comes back."""
        before, self.service.polar.mood = self.service.polar.mood, mood
        for turn in range(rounds):
            self.work_to_the_end(NAMES[turn % len(NAMES)])
            self.service.clock.advance(60)
        self.service.polar.mood = before

    @rule(what=_sets, copy=copies, name=names, requests=st.integers(1, 4), mood=st.sampled_from(Mood))
    def turn(self, *, what: set[str], copy: str, name: str, requests: int, mood: Mood) -> None:
        """Polar answers 500 to everything a worker sends, until its mood changes during the lease."""
        self.tell_many(what, copy)
        before, self.service.polar.mood = self.service.polar.mood, Mood.BROKEN
        self.work_to_the_end(name)  # the first 500 is taken for an outage
        self.service.clock.advance(1)
        for _ in range(requests):
            self.work(name, Stop.BEFORE_SENDING)
        self.service.polar.mood = mood
        self.workers[name].go_on()
        self.service.polar.mood = before

    @precondition(lambda self: self.sold + 8 < len(SALE_WEBHOOKS))
    @rule(
        what=_sets,
        stone=stones,
        name=names,
        rounds=st.sampled_from([1, 2, 7]),
        copy=copies,
    )
    def stumble(self, *, what: set[str], stone: str, name: str, rounds: int, copy: str) -> None:
        """Polar answers 500 to some events while others pass."""
        polar = self.service.polar
        before, polar.mood = polar.mood, Mood.FINE
        polar.trouble(strangers=set(), stumbles={BROKEN_BY[stone]} - polar.stumbles)
        self.tell_many(what, copy)
        for _ in range(rounds):
            self.sell()
            self.work_to_the_end(name)  # the first 500 is taken for an outage
            self.service.clock.advance(1)
            self.work_to_the_end(name)
            self.service.clock.advance(_LONGEST_WAIT_SECONDS)
        polar.mood = before

    @rule(
        credited=st.sets(webhook_names, max_size=3),
        what=_sets,
        copy=copies,
        name=names,
        customer=st.sampled_from(sorted(CUSTOMERS)),
    )
    def refuse(self, *, credited: set[str], what: set[str], copy: str, name: str, customer: str) -> None:
        """Polar has credited some orders, and then does not know their customer any more."""
        polar = self.service.polar
        before, polar.mood = polar.mood, Mood.FINE
        self.tell_many(credited, copy)
        self._work_all_off(name)
        polar.trouble(strangers={CUSTOMERS[customer]} - polar.strangers, stumbles=set())
        self.tell_many(what, copy)
        self._work_all_off(name)
        polar.mood = before

    @precondition(lambda self: self.dismissible)
    @rule(places=st.sets(st.integers(0, 3)))
    def put_to_rest(self, places: set[int]) -> None:
        """A person dismisses some of what Polar has refused, and then Polar knows every customer again."""
        for delivery_id in [one for place, one in enumerate(self.dismissible) if place in places]:
            self.service.dismiss(delivery_id)
        self.service.polar.trouble(strangers=set(self.service.polar.strangers), stumbles=set())

    def _work_all_off(self, name: str) -> None:
        """Let every worker finish, and this one do what is left."""
        for worker in self.workers.values():
            worker.go_on()
        self.service.clock.advance(_LONGEST_WAIT_SECONDS)
        self.work_to_the_end(name)
