"""Opens the stores for a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.output import console, describe_store, literal
from config.settings import Settings
from workers.store import keys
from workers.store.format import prepare
from workers.store.stores import Stores, stores


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """Yield the stores for a command that writes; ConfigError if a newer version has written them."""
    with open_stores_to_read(settings) as held:
        prepare(held.redis)
        yield held


@contextmanager
def open_stores_to_read(settings: Settings) -> Iterator[Stores]:
    """Yield the stores; warn if the embedded one is empty: the user may be in the wrong folder."""
    with stores(settings, on_loading=_tell) as held:
        if settings.redis_url is None and held.redis.dbsize() == held.redis.exists(keys.FORMAT):
            console(stderr=True).print(literal(f"nothing is stored here yet: {describe_store(settings)}"))
        yield held


def _tell(text: str) -> None:
    console(stderr=True).print(literal(text))
