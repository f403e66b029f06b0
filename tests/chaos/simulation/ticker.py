"""The ticks of a worker, by which it notices that the clock of Redis was set."""

from typing import Any, cast

from redis import Redis

from config.rulebook import Rulebook
from config.rules import NO_RULES, Rules
from tests.chaos.simulation.clocked_redis import SimulatedClock
from tests.support.real_stores import RETAIN
from workers.pipeline.worker import GrantWorker
from workers.store.clock import ClockWatch


class _SameRules:
    """A rulebook whose file never changes."""

    is_file_refused = False

    def current(self) -> Rules:
        """Return rules."""
        return NO_RULES

    def reload_if_changed(self) -> None:
        """Find nothing new."""

    def summary(self) -> str:
        """Return which rules are in force."""
        return "the same as ever"


def new_ticker(redis: Redis, clock: SimulatedClock) -> GrantWorker:
    """Return a worker that ticks, with a steady clock that nobody can set."""
    rulebook: Any = _SameRules()
    worker = GrantWorker(redis, rulebook=cast(Rulebook, rulebook), retain=RETAIN)
    worker._clock = ClockWatch(redis, clock.steady_seconds)
    return worker
