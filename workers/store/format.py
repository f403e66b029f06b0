"""The format of what is stored: noted when a ledger is first used, and brought up to date step by step.

A version that changes what others have stored raises ``FORMAT``, and adds the step that leads there. Bodies
are not part of it: their first byte says how each is stored (``workers.store.bodies``).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import cast
from uuid import uuid4

from redis import Redis

from config.errors import ConfigError
from config.log import get_log
from workers.core.findings import Finding
from workers.store import keys
from workers.store.scripts import load_script

log = get_log(__name__)

FORMAT = 2
"""What this version writes, and the newest that it knows."""

Step = Callable[[Redis], Iterator[None]]
"""Leads from one format to the next, in pieces of some milliseconds, after each of which it yields.

A piece is one atomic script, and does no harm if it runs again: whoever takes over from a process that was
killed begins the step anew.
"""


def _allow_sealing(_redis: Redis) -> Iterator[None]:
    """Lead to format 2, in which facts may be sealed: the background process does it, in its own time."""
    yield


STEPS: Mapping[int, Step] = {1: _allow_sealing}
"""By the format that a step begins with: one for each format before ``FORMAT``."""

_UNNOTED = 1  # the format of a ledger that a version before 0.1.0 has begun
_HELD_SECONDS = 60  # how soon another process takes over from one that was killed
_WAIT_SECONDS = 0.5


class UnknownFormatError(ConfigError):
    """A newer version has stored the data; the text says what to do."""


def prepare(redis: Redis, *, newest: int = FORMAT, steps: Mapping[int, Step] = STEPS) -> None:
    """Bring what is stored up to date. UnknownFormatError if its format is newer.

    One process at a time migrates, and the others wait here. Nothing is written where nothing is to be done.
    """
    while (found := _read(redis) or _unnoted(redis, newest)) != newest:
        if found > newest:
            raise UnknownFormatError(_too_new(found, newest))
        _migrate(redis, found, steps[found])


def open_ledger(redis: Redis) -> None:
    """Do the same for a worker, which also notes the format where none is noted."""
    if _read(redis) is None:
        redis.set(keys.FORMAT, _unnoted(redis, FORMAT), nx=True)
    prepare(redis)


def require_known(redis: Redis) -> None:
    """Raise UnknownFormatError if a newer version has stored the data. Writes nothing."""
    found = _read(redis)
    if found is not None and found > FORMAT:
        raise UnknownFormatError(_too_new(found, FORMAT))


def format_findings(redis: Redis) -> list[Finding]:
    """Return an error if a newer version has stored the data."""
    try:
        require_known(redis)
    except UnknownFormatError as error:
        return [Finding(level="error", what="ledger", detail=str(error))]
    return []


def _read(redis: Redis) -> int | None:
    noted = cast(bytes | None, redis.get(keys.FORMAT))
    return None if noted is None else int(noted)


def _unnoted(redis: Redis, newest: int) -> int:
    """Return the format of a ledger that notes none: an empty one has the newest."""
    return _UNNOTED if redis.exists(keys.AUDIT, keys.CUSTOMERS) else newest


def _migrate(redis: Redis, begin: int, step: Step) -> None:
    """Run one step, or wait a little while another process does."""
    token = uuid4().hex
    if not redis.set(keys.MIGRATION, token, nx=True, ex=_HELD_SECONDS):
        time.sleep(_WAIT_SECONDS)
        return
    hold = redis.register_script(load_script("hold_migration"))
    held = [keys.FORMAT, keys.MIGRATION]
    log.info("migrating stored data", begin=begin, end=begin + 1)
    for _ in step(redis):
        if not hold(keys=held, args=[token, _HELD_SECONDS]):
            return  # another process has begun the step anew
    if hold(keys=held, args=[token, _HELD_SECONDS, begin + 1]):
        log.info("migrated stored data", format=begin + 1)


def _too_new(found: int, newest: int) -> str:
    return (
        f"Redis holds data of format {found}, and this version knows formats up to {newest}: install the "
        "version that wrote it, or a newer one; meanwhile receivers go on storing webhooks"
    )
