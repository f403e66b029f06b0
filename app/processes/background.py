"""Runs the background process: confirms grants, and grants orders whose webhooks never arrived."""

from config.settings import Settings
from workers.runtime.background import background_for
from workers.timings import DEFAULT_TIMINGS, Timings


def run_background(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> None:
    """Work in the background until a stop signal, and then end at once.

    The unfinished work is stored, and a worker or the next background process finishes it.
    """
    background_for(settings, settings.require_redis_url(), timings).run_forever()
