"""Builds a worker."""

from collections.abc import Callable

from redis import Redis

from config.rulebook import Rulebook
from config.settings import Settings
from workers import jobs
from workers.pipeline.worker import GrantWorker
from workers.runtime.granting import granter_for
from workers.store.connect import connect
from workers.store.format import open_ledger
from workers.store.losses import LedgerWatch
from workers.store.stores import stores_in
from workers.timings import DEFAULT_TIMINGS, Timings


def worker_for(settings: Settings, url: str, timings: Timings = DEFAULT_TIMINGS) -> GrantWorker:
    """Return an RQ worker, and install its granter for the jobs; ConfigError if it cannot grant."""
    connection = connect(url, settings.redis_options, timeout_seconds=timings.worker_redis_seconds)
    rulebook = Rulebook(settings.rules_path)
    stores = stores_in(connection, settings, timings)
    jobs.install(granter_for(settings, stores, rulebook.current, timings))
    ledger_watch = LedgerWatch(connection)
    check_alerts = _alert_check_for(settings, connection, timings)

    def on_tick() -> None:
        open_ledger(connection)  # a newer version may have started, or Redis was emptied or restored
        ledger_watch.check()
        check_alerts()

    return GrantWorker(
        connection,
        rulebook=rulebook,
        retain=settings.retain,
        drain=jobs.drain_now,
        drain_ahead=jobs.drain_ahead,
        on_tick=on_tick,
        timings=timings,
    )


def _alert_check_for(settings: Settings, connection: Redis, timings: Timings) -> Callable[[], None]:
    """Return the check for alerts that runs at each tick; it does nothing without an alert URL."""
    if settings.alert_url is None:
        return lambda: None
    from workers.monitoring.alerter import Alerter  # noqa: PLC0415 - most workers send no alerts

    return Alerter(
        connection,
        url=settings.alert_url.reveal(),
        tells_storefront=settings.events_url is not None,
        timings=timings,
    ).check
