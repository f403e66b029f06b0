"""Decides how many credit events are sent at a time: one now and then while the storefront takes none."""

import time
from collections.abc import Callable


class Pace:
    """Begins with ``most`` at a time.

    After ``refusals`` in a row it lets one through, after a pause that doubles from a second to
    ``longest_pause_seconds``. The first event that the storefront takes ends this.
    """

    def __init__(
        self,
        *,
        most: int,
        refusals: int,
        longest_pause_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._refusals = refusals
        self._longest_pause_seconds = longest_pause_seconds
        self._now = now
        self._refused = 0
        self._pause_seconds = 0.0
        self._resume_at = 0.0

    @property
    def room(self) -> int:
        """Return how many may be under way now."""
        if self._refused < self._refusals:
            return self._most
        return 0 if self._now() < self._resume_at else 1

    def note(self, *, is_taken: bool) -> None:
        """Note what became of one event."""
        if is_taken:
            self._refused, self._pause_seconds = 0, 0.0
            return
        self._refused += 1
        # What was under way when the pause began says nothing new.
        if self._refused >= self._refusals and self._now() >= self._resume_at:
            self._pause_seconds = min(max(1.0, 2 * self._pause_seconds), self._longest_pause_seconds)
            self._resume_at = self._now() + self._pause_seconds
