"""Builds what reads at Polar what is missing here."""

from config.settings import Settings
from workers.core.envelope import stored_types
from workers.operations.backfill.run import Backfiller
from workers.operations.pacing import Pacer, ShowWait
from workers.operations.recover import Recoverer
from workers.polar.client import Polar
from workers.store.stores import Stores


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
