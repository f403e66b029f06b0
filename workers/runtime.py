"""The composition root: builds the parts that workers and commands use from the settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from redis import Redis

from config.errors import ConfigError
from config.rulebook import Rulebook
from config.rules import Rules, RulesError, load_rules
from config.settings import Settings
from workers import jobs
from workers.core.envelope import stored_types
from workers.monitoring.alerter import Alerter
from workers.monitoring.redis_alerts import RedisAlerts
from workers.operations.backfill.run import Backfiller
from workers.operations.background import Background
from workers.operations.check.endpoint import wanted_by
from workers.operations.check.endpoint_watch import EndpointWatch
from workers.operations.confirm import Confirmer
from workers.operations.credits.meters import MeterCache
from workers.operations.credits.reader import CreditsReader
from workers.operations.credits.share import SharedPolar
from workers.operations.forget import CustomerEraser, DeletedCustomers
from workers.operations.outbox.reader import EventReader
from workers.operations.outbox.receiver import StorefrontReceiver
from workers.operations.outbox.sender import EventSender
from workers.operations.pacing import Pacer, ShowWait
from workers.operations.polar_clock import PolarClockWatch
from workers.operations.rebuild.lost_ledger import LostLedgerWatch
from workers.operations.reconcile import Reconciler
from workers.operations.recover import Recoverer
from workers.pipeline.customers import OfferCustomers
from workers.pipeline.granter import Granter
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.pipeline.worker import GrantWorker
from workers.polar.client import Polar
from workers.store import counts
from workers.store.audit import Audit
from workers.store.clock import PolarClock
from workers.store.connect import SENDING, connect, connect_for_customers
from workers.store.counts import Tally
from workers.store.endpoint_note import EndpointNotes
from workers.store.erasure import Erasure
from workers.store.format import open_ledger, prepare
from workers.store.full_disk import run_with_room
from workers.store.instalments import InstalmentQueue
from workers.store.losses import ComparisonSchedule, LedgerWatch
from workers.store.outbox import Outbox
from workers.store.schedule import ReconcileSchedule
from workers.store.sealing import Sealer
from workers.store.stores import Stores, stores_in
from workers.store.unconfirmed import UnconfirmedStore
from workers.timings import DEFAULT_TIMINGS, Timings


def granter_for(
    settings: Settings, stores: Stores, rules: Callable[[], Rules], timings: Timings = DEFAULT_TIMINGS
) -> Granter:
    """Return a granter that asks ``rules`` for each lease; ConfigError without a token."""
    polar = polar_for(settings, stores.ledger.tally, timings, note_clock=PolarClock(stores.redis).note)
    return Granter(
        deliveries=stores.deliveries,
        ledger=stores.ledger,
        throttle=stores.throttle,
        polar=polar,
        customers=OfferCustomers(polar, stores.throttle),
        subscriptions=SubscriptionFinder(polar, stores.throttle),
        rules=rules,
        forgetting=_forgetting_in(stores) if settings.forget_deleted else None,
        timings=timings,
    )


def _forgetting_in(stores: Stores) -> DeletedCustomers:
    erasure = Erasure(stores.redis)
    eraser = CustomerEraser(erasure, stores.deliveries, Audit(stores.redis, stores.ledger))
    return DeletedCustomers(eraser, erasure)


def backfiller_for(stores: Stores, polar: Polar, show_wait: ShowWait | None = None) -> Backfiller:
    """Return a backfiller; ``show_wait`` shows a person what it waits for."""
    return Backfiller(
        store=stores.deliveries, ledger=stores.ledger, polar=polar, pacer=pacer_for(stores, show_wait)
    )


def recoverer_for(
    settings: Settings, stores: Stores, polar: Polar, show_wait: ShowWait | None = None
) -> Recoverer:
    """Return a recoverer; ``show_wait`` shows a person what it waits for."""
    return Recoverer(
        store=stores.deliveries,
        ledger=stores.ledger,
        polar=polar,
        pacer=pacer_for(stores, show_wait),
        types=stored_types(forgets_deleted=settings.forget_deleted),
    )


def pacer_for(stores: Stores, show_wait: ShowWait | None = None) -> Pacer:
    """Return a pacer for requests that can wait; ``show_wait`` shows a person what it waits for."""
    return Pacer(throttle=stores.throttle, show_wait=show_wait)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiParts:
    """What the storefront API and the desk use, with one pool of connections to Redis."""

    stores: Stores
    polar: SharedPolar | None
    """None without an access token: then the desk shows what is stored here."""

    @property
    def credits_reader(self) -> CreditsReader | None:
        """Return what reads customers' credits; None if Polar cannot be asked."""
        if self.polar is None:
            return None
        audit = Audit(self.stores.redis, self.stores.ledger)
        return CreditsReader(polar=self.polar, meters=MeterCache(polar=self.polar), audit=audit)


@contextmanager
def api_parts(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> Iterator[ApiParts]:
    """Yield what the storefront API and the desk use."""
    with ExitStack() as closing_all:
        connection = closing_all.enter_context(
            connect_for_customers(
                settings.require_redis_url(),
                settings.redis_options,
                timeout_seconds=timings.receiver_redis_seconds,
            )
        )
        stores = stores_in(connection, settings, timings)
        polar = None
        if settings.access_token is not None:
            client = closing_all.enter_context(closing(polar_for(settings, timings=timings)))
            polar = SharedPolar(polar=client, throttle=stores.throttle)
        yield ApiParts(stores=stores, polar=polar)


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


def events_for(settings: Settings, url: str, timings: Timings = DEFAULT_TIMINGS) -> Background:
    """Return what sends credit events to the storefront; ConfigError if they have no URL."""
    connection = connect(
        url, settings.redis_options, timeout_seconds=timings.worker_redis_seconds, most=SENDING
    )
    sender = sender_for(settings, stores_in(connection, settings, timings), timings)
    return Background(
        tasks=[
            partial(run_with_room, connection, task)
            for task in (partial(prepare, connection), sender.send_due)
        ],
        reconnect=connection.connection_pool.disconnect,
        timings=replace(timings, background_check_seconds=timings.event_check_seconds),
    )


def sender_for(settings: Settings, stores: Stores, timings: Timings = DEFAULT_TIMINGS) -> EventSender:
    """Return what sends the events in these stores; ConfigError if they have no URL."""
    url, secret = settings.require_events()
    return EventSender(
        outbox=Outbox(stores.redis, timings),
        reader=EventReader(ledger=stores.ledger, deliveries=stores.deliveries),
        storefront=StorefrontReceiver(url=url, secret=secret, seconds=timings.event_seconds),
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
    return RedisAlerts(settings.alert_url.get_secret_value(), timings).check


def _alert_check_for(settings: Settings, connection: Redis, timings: Timings) -> Callable[[], None]:
    """Return the check for alerts that runs at each tick; it does nothing without an alert URL."""
    if settings.alert_url is None:
        return lambda: None
    return Alerter(
        connection,
        url=settings.alert_url.get_secret_value(),
        tells_storefront=settings.events_url is not None,
        timings=timings,
    ).check
