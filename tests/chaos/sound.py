"""What holds even where Redis may lose everything: no credit counts twice, and no delivery is nowhere."""

import os
import sys
from itertools import islice

from hypothesis import settings
from hypothesis.stateful import invariant

from tests.chaos.cast import BONUSES, KEYS
from tests.chaos.plots import Plots
from tests.support.fakes import Event
from workers.core.delivery import Status

_LONGEST_WAIT_SECONDS = 810  # the last retry of an event over which Polar stumbles


def length(examples: int) -> settings:
    """Return how long to look: as long as ``make test`` has time for, unless the environment says more."""
    return settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", examples)),
        stateful_step_count=int(os.environ.get("MODEL_STEPS", "50")),
        print_blob=True,
        derandomize=False,  # on CI too: a bug once found has a story of its own, others are still to be met
    )


class Sound(Plots):
    """A story in which these promises are kept after every step, and all is well when the world is."""

    def __init__(self) -> None:
        super().__init__()
        self.meanings: set[tuple[str, ...]] = set()
        self._seen = 0

    @invariant()
    def what_is_promised_holds(self) -> None:
        """Look after every step."""
        self.check()
        self.service.diary.close()
        self._seen = len(self.service.polar.events)

    @property
    def new_events(self) -> dict[str, Event]:
        """Return by key what has come to Polar since the last look: it forgets and changes nothing."""
        return dict(islice(self.service.polar.events.items(), self._seen, None))

    def check(self) -> None:
        """Look at each promise."""
        self.polar_has_no_key_but_those_spelled_out()
        self.nothing_is_credited_twice_by_what_the_events_say()
        self.no_delivery_is_nowhere()

    def polar_has_no_key_but_those_spelled_out(self) -> None:
        """All that the cast can lead to are in KEYS."""
        assert self.new_events.keys() <= KEYS

    def nothing_is_credited_twice_by_what_the_events_say(self) -> None:
        """Whatever their keys: an order on a meter, a rule's bonus for a customer."""
        for event in self.new_events.values():
            assert _meaning(event) not in self.meanings
            self.meanings.add(_meaning(event))

    def no_delivery_is_nowhere(self) -> None:
        """It waits and its turn will come, or it has come to an end."""
        kept = self.service.store.deliveries
        assert kept.keys() == self.accepted.keys() - self.expired
        for one in kept.values():
            assert (one.due is not None) == (one.status is Status.WAITING)
            assert (
                one.due is None or (one.due - self.service.clock.now).total_seconds() <= _LONGEST_WAIT_SECONDS
            )

    def all_is_well(self) -> None:
        """Say what must hold when everything is over."""
        self.check()  # once more: the end is no step
        assert Status.WAITING not in {one.status for one in self.service.store.deliveries.values()}

    def teardown(self) -> None:
        """Let all be well and see that it is, unless something was wrong before."""
        try:
            if sys.exc_info()[0] is None:
                self.let_all_be_well()
                self.all_is_well()
        finally:
            self.stop()


def _meaning(event: Event) -> tuple[str, ...]:
    data = event["metadata"]
    if "reason" in data:
        return (event["external_id"],)  # each refund of an order takes its own share, and a person the rest
    if "order_id" in data and data["rules"] not in BONUSES:
        return data["order_id"], event["name"]
    return event["customer_id"], data["rules"], event["name"]
