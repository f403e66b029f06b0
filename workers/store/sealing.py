"""Seals settled facts: an hour later, each moves into a bucket with others, where it is a third as large.

Every script reads a sealed fact as it is, and opens it before it writes: see ``lua/facts.lua``.
"""

import time
from collections.abc import Callable

from redis import Redis

from workers.store import keys
from workers.store.format import FORMAT
from workers.store.scripts import load_script
from workers.timings import DEFAULT_TIMINGS, Timings

_BATCH = 50  # every other client waits while the script runs, some milliseconds


class Sealer:
    """Seals what has been settled for a while, a little at a time."""

    def __init__(
        self,
        redis: Redis,
        timings: Timings = DEFAULT_TIMINGS,
        steady_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timings = timings
        self._steady_seconds = steady_seconds
        self._began_at = steady_seconds()
        self._seal = redis.register_script(load_script("seal"))

    def run_if_due(self) -> None:
        """Seal what is due, for a part of a round at most. Do nothing just after the start.

        Until then, workers of an older version may still run: they would not find what is sealed.
        """
        begun_at = self._steady_seconds()
        if begun_at - self._began_at < self._timings.seal_first_seconds:
            return
        while self.seal(_BATCH) and self._steady_seconds() - begun_at < self._timings.seal_round_seconds:
            pass

    def seal(self, most: int) -> int:
        """Move up to so many settled grants out of the newest part of the audit trail; return how many."""
        moved: int = self._seal(
            keys=[keys.AUDIT, keys.CUSTOMERS, keys.FORMAT],
            args=[most, int(self._timings.seal_after_seconds * 1000), FORMAT],
        )
        return moved
