"""Runs the reconciler, which grants orders whose webhooks never arrived."""

from config.settings import Settings
from workers.runtime import reconciler_for
from workers.timings import DEFAULT_TIMINGS, Timings


def run_reconciler(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> None:
    """Reconcile until a stop signal, and then end at once.

    The unfinished work is stored, and a worker finishes it.
    """
    reconciler_for(settings, settings.require_redis_url(), timings).run_forever()
