"""The Redis that the settings name, and the stores in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from redis import Redis

from config.settings import Settings
from workers.embedded.server import EmbeddedRedis, log_loading
from workers.store.connect import connect
from workers.store.deliveries import DeliveryStore
from workers.store.full_disk import naming_full_disk
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS, Timings


class Stores(Struct, frozen=True, kw_only=True):
    """A Redis client, and the stores that use it."""

    redis: Redis
    deliveries: DeliveryStore
    ledger: Ledger
    throttle: Throttle


@contextmanager
def redis_server(settings: Settings, on_loading: Callable[[str], object] = log_loading) -> Iterator[str]:
    """Yield the URL of the operator's Redis if one is set, else of the embedded one, running meanwhile."""
    if settings.redis_url is not None:
        yield settings.redis_url.reveal()
        return
    with EmbeddedRedis(settings.data_dir, on_loading=on_loading) as embedded:
        yield embedded.url


@contextmanager
def stores(settings: Settings, on_loading: Callable[[str], object] = log_loading) -> Iterator[Stores]:
    """Yield the stores in the Redis that the settings name.

    ``on_loading`` is called every few seconds while an embedded one is loading its data.
    """
    with (
        redis_server(settings, on_loading) as url,
        connect(url, settings.redis_options) as connection,
        naming_full_disk(connection),
    ):
        yield stores_in(connection, settings)


def stores_in(connection: Redis, settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> Stores:
    """Return the stores in one Redis."""
    return Stores(
        redis=connection,
        deliveries=DeliveryStore(connection, timings),
        ledger=Ledger(
            connection,
            retain=settings.retain,
            tells_storefront=settings.events_url is not None,
            requests_per_minute=settings.requests_per_minute,
        ),
        throttle=Throttle(connection, requests_per_minute=settings.requests_per_minute),
    )
