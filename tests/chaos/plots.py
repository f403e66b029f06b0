"""Scenes of several steps that chance alone would seldom put together: each is where bugs like to be."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.chaos.cast import ALL, SALES, STONES
from tests.chaos.polar import Mood
from tests.chaos.stops import Stop
from tests.chaos.story import NAMES, Story, copies, files, names, refunds, stones, stops, tellings
from workers.timings import DEFAULT_TIMINGS

_LONGEST_WAIT_SECONDS = 1000  # of all waits between two tries


@dataclass(frozen=True)
class Change:
    """What has changed when another takes a sleeper's work over."""

    file: str | None
    news: str | None


_sets = st.sets(tellings | refunds, min_size=1, max_size=3)
_changes = st.builds(Change, st.none() | files, st.none() | tellings | refunds)


class Plots(Story):
    """Sleepers whose work is done by another meanwhile, outages, and events that Polar stumbles over."""

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
        """A worker sleeps; something changes, another comes and does its work; then it wakes."""
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

    @rule(mood=st.sampled_from([one for one in Mood if one is not Mood.FINE]), rounds=st.integers(1, 5))
    def outage(self, mood: Mood, rounds: int) -> None:
        """Polar is away for a while, whatever workers try, and comes back."""
        before, self.service.polar.mood = self.service.polar.mood, mood
        for turn in range(rounds):
            self.work_to_the_end(NAMES[turn % len(NAMES)])
            self.service.clock.advance(60)
        self.service.polar.mood = before

    @rule(what=_sets, copy=copies, name=names, requests=st.integers(1, 4), mood=st.sampled_from(Mood))
    def turn(self, *, what: set[str], copy: str, name: str, requests: int, mood: Mood) -> None:
        """Polar breaks at all that a worker sends, until its mood turns amid the round."""
        self.tell_many(what, copy)
        before, self.service.polar.mood = self.service.polar.mood, Mood.BROKEN
        self.work_to_the_end(name)  # the first 500 is taken for an outage
        self.service.clock.advance(1)
        for _ in range(requests):
            self.work(name, Stop.BEFORE_SENDING)
        self.service.polar.mood = mood
        self.workers[name].go_on()
        self.service.polar.mood = before

    @precondition(lambda self: self.sold + 8 < len(SALES))
    @rule(
        what=_sets,
        stone=stones,
        name=names,
        rounds=st.sampled_from([1, 2, 7]),
        copy=copies,
    )
    def stumble(self, *, what: set[str], stone: str, name: str, rounds: int, copy: str) -> None:
        """Polar stumbles over some events while others pass."""
        polar = self.service.polar
        before, polar.mood = polar.mood, Mood.FINE
        polar.trouble(strangers=set(), stumbles={STONES[stone]} - polar.stumbles)
        self.tell_many(what, copy)
        for _ in range(rounds):
            self.sell()
            self.work_to_the_end(name)  # the first 500 is taken for an outage
            self.service.clock.advance(1)
            self.work_to_the_end(name)
            self.service.clock.advance(_LONGEST_WAIT_SECONDS)
        polar.mood = before
