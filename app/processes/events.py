"""Runs the process that sends credit events to the storefront."""

import os

from config.settings import Settings
from workers.runtime.events import events_for
from workers.timings import DEFAULT_TIMINGS, Timings

_NICENESS = 19  # a credit comes before the news of it: on a busy processor, the sender gets what others leave


def run_events(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> None:
    """Send credit events until a stop signal, and then end at once.

    What was being sent is sent again by the next one.
    """
    os.nice(_NICENESS)
    events_for(settings, settings.require_redis_url(), timings).run_forever()
