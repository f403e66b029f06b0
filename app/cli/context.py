"""What a command starts with: its settings, its log, and the stores."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.output import console, describe_store, literal
from config.settings import ReceiverSettings, Settings, load_receiver_settings, load_settings
from workers.monitoring.logs import configure_logging
from workers.store import keys
from workers.store.format import prepare
from workers.store.stores import Stores, stores


def read_settings(process: str, *, json_logs: bool = False, quiet: bool = False) -> Settings:
    """Read the settings and set up logging.

    ``quiet`` is for commands that print results: they log errors alone, and on a terminal nothing, because
    the results name what failed and a log line would break into them.
    """
    settings = load_settings()
    level: str = settings.log_level
    if quiet and level != "debug":
        level = "critical" if sys.stderr.isatty() else "error"
    configure_logging("json" if json_logs else settings.log_format, level, process=process)
    return settings


def read_receiver_settings(*, json_logs: bool) -> ReceiverSettings:
    """Read what the receiver needs and set up logging; other settings may be unusable."""
    settings = load_receiver_settings()
    log_format = "json" if json_logs else settings.log_format
    configure_logging(log_format, settings.log_level, process="receiver")
    return settings


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
