"""Builds what asks Polar, from the settings."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from config.settings import Settings
from workers.polar.client import Polar
from workers.store import counts
from workers.store.counts import Tally
from workers.timings import DEFAULT_TIMINGS, Timings


def polar_for(
    settings: Settings,
    tally: Tally | None = None,
    timings: Timings = DEFAULT_TIMINGS,
    note_clock: Callable[[timedelta], object] = lambda _ahead: None,
    wait: Callable[[float], object] | None = None,
) -> Polar:
    """Return a client for the Polar that the settings name; ConfigError without a token."""
    return Polar(
        url=settings.polar_url,
        token=settings.require_token(),
        count=partial((tally or Tally()).add, counts.POLAR_REQUESTS),
        note_clock=note_clock,
        wait=wait,
        timings=timings,
    )
