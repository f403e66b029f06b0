"""Builds what the storefront API and the desk use."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec import Struct

from config.settings import Settings
from workers.operations.credits.meters import MeterCache
from workers.operations.credits.reader import CreditsReader
from workers.operations.credits.share import SharedPolar
from workers.runtime.polar import polar_for
from workers.store.audit import Audit
from workers.store.connect import connect_for_customers
from workers.store.stores import Stores, stores_in
from workers.timings import DEFAULT_TIMINGS, Timings


class ApiParts(Struct, frozen=True, kw_only=True):
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
