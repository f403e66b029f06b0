"""Builds what grants, from the settings."""

from collections.abc import Callable

from config.rules import Rules
from config.settings import Settings
from workers.monitoring.lines import lines_together
from workers.operations.forget import CustomerEraser, DeletedCustomers
from workers.pipeline.customers import OfferCustomers
from workers.pipeline.granter import Granter
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.runtime.polar import polar_for
from workers.store.audit import Audit
from workers.store.clock import PolarClock
from workers.store.erasure import Erasure
from workers.store.stores import Stores
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
        telling=lines_together,
        timings=timings,
    )


def _forgetting_in(stores: Stores) -> DeletedCustomers:
    erasure = Erasure(stores.redis)
    eraser = CustomerEraser(erasure, stores.deliveries, Audit(stores.redis, stores.ledger))
    return DeletedCustomers(eraser, erasure)
