"""Builds what sends credit events to the storefront."""

from functools import partial

from msgspec.structs import replace

from config.settings import Settings
from workers.operations.background import Background
from workers.operations.outbox.reader import EventReader
from workers.operations.outbox.receiver import StorefrontReceiver
from workers.operations.outbox.sender import EventSender
from workers.store.connect import SENDING, connect
from workers.store.format import prepare
from workers.store.full_disk import run_with_room
from workers.store.outbox import Outbox
from workers.store.stores import Stores, stores_in
from workers.timings import DEFAULT_TIMINGS, Timings


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
