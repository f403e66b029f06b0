"""Builds what runs beside the workers."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from config.errors import ConfigError
from config.rulebook import Rulebook
from config.rules import Rules, RulesError, load_rules
from config.settings import Settings
from workers.monitoring.redis_alerts import RedisAlerts
from workers.operations.background import Background
from workers.operations.check.endpoint import wanted_by
from workers.operations.check.endpoint_watch import EndpointWatch
from workers.operations.confirm import Confirmer
from workers.operations.polar_clock import PolarClockWatch
from workers.operations.rebuild.lost_ledger import LostLedgerWatch
from workers.operations.reconcile import Reconciler
from workers.polar.client import Polar
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for
from workers.runtime.repairs import backfiller_for, pacer_for
from workers.store.clock import PolarClock
from workers.store.connect import connect
from workers.store.endpoint_note import EndpointNotes
from workers.store.format import prepare
from workers.store.full_disk import run_with_room
from workers.store.instalments import InstalmentQueue
from workers.store.losses import ComparisonSchedule
from workers.store.schedule import ReconcileSchedule
from workers.store.sealing import Sealer
from workers.store.stores import Stores, stores_in
from workers.store.unconfirmed import UnconfirmedStore
from workers.timings import DEFAULT_TIMINGS, Timings


def background_for(settings: Settings, url: str, timings: Timings = DEFAULT_TIMINGS) -> Background:
    """Return what runs beside the workers; ConfigError without a token."""
    connection = connect(url, settings.redis_options, timeout_seconds=timings.worker_redis_seconds)
    stores = stores_in(connection, settings, timings)
    polar = polar_for(settings, stores.ledger.tally, timings)
    pacer = pacer_for(stores)
    tasks: list[Callable[[], None]] = [
        partial(prepare, connection),
        Confirmer(store=UnconfirmedStore(connection, stores.ledger), polar=polar, pacer=pacer).run_if_due,
        LostLedgerWatch(
            schedule=ComparisonSchedule(connection), ledger=stores.ledger, polar=polar, pacer=pacer
        ).run_if_due,
        PolarClockWatch(
            clock=PolarClock(stores.redis), queue=InstalmentQueue(stores.redis), polar=polar, pacer=pacer
        ).run_if_due,
        EndpointWatch(
            notes=EndpointNotes(connection),
            polar=polar,
            pacer=pacer,
            rules=partial(_usable_rules, settings),
            wanted=wanted_by(settings),
        ).run_if_due,
    ]
    if every := settings.reconcile_every(has_credit_from=True):
        tasks.append(_reconciler_for(settings, every, stores, polar, timings).run_if_due)
    tasks.append(
        Sealer(connection, timings).run_if_due
    )  # last: it can wait, and an error of it stops no other
    alert = _redis_alert_for(settings, timings)
    return Background(
        tasks=[partial(run_with_room, connection, task) for task in tasks],
        reconnect=connection.connection_pool.disconnect,
        alert=alert,
        timings=timings,
    )


def _usable_rules(settings: Settings) -> Rules | None:
    try:
        return load_rules(settings.rules_path)
    except (ConfigError, RulesError):  # the workers report it
        return None


def _reconciler_for(
    settings: Settings, every: timedelta, stores: Stores, polar: Polar, timings: Timings
) -> Reconciler:
    rulebook = Rulebook(settings.rules_path)
    return Reconciler(
        schedule=ReconcileSchedule(stores.redis, stores.ledger.tally),
        backfiller=backfiller_for(stores, polar),
        granter=granter_for(settings, stores, rulebook.current, timings),
        rulebook=rulebook,
        every=every,
        only_with_credit_from=settings.reconcile_set is None,
    )


def _redis_alert_for(settings: Settings, timings: Timings) -> Callable[[str], None]:
    """Return what sends the alert that Redis is away; it does nothing without an alert URL."""
    if settings.alert_url is None:
        return lambda _reason: None
    return RedisAlerts(settings.alert_url.reveal(), timings).check
