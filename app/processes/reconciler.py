"""Runs the reconciler, which grants orders whose webhooks never arrived."""

from config.settings import Settings, require_redis_url
from workers.runtime import reconciler_for


def run_reconciler(settings: Settings) -> None:
    """Reconcile until a stop signal.

    It ends at once: what it has begun is stored, and a worker finishes it.
    """
    reconciler_for(settings, require_redis_url(settings)).run_forever()
