"""Loads Lua scripts. Each is one atomic step, and takes the time from Redis, the one clock of all hosts."""

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

_EPOCH = datetime.fromtimestamp(0, UTC)


# Functions that all scripts share, each file behind those that it uses.
_SHARED = ("shared", "facts", "ledger", "rate_limit", "drain_jobs")


@cache
def load_script(name: str, *libraries: str) -> str:
    """Return ``workers/store/lua/<name>.lua``, behind the functions that all scripts share.

    ``libraries`` are files of functions that only some scripts share.
    """
    folder = files("workers.store") / "lua"
    return "".join((folder / f"{one}.lua").read_text() for one in (*_SHARED, *libraries, name))


def moment_of(milliseconds: str | bytes | float) -> datetime:
    """Return the moment that Redis keeps as milliseconds since the epoch."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, tz=UTC)


def milliseconds_of(moment: datetime) -> int:
    """Return a moment as milliseconds since the epoch, as Redis keeps it."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)  # exact: a float may be a millisecond less
