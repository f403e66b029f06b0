"""Loads Lua scripts. Each is one atomic step, and takes the time from Redis, the one clock of all hosts."""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files


@cache
def load_script(name: str) -> str:
    """Return ``workers/store/lua/<name>.lua``, behind the functions that all scripts share."""
    folder = files("workers.store") / "lua"
    return (folder / "shared.lua").read_text() + (folder / f"{name}.lua").read_text()


def moment_of(milliseconds: str | bytes | float) -> datetime:
    """Return the moment that Redis keeps as milliseconds since the epoch."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, tz=UTC)


def milliseconds_of(moment: datetime) -> int:
    """Return a moment as milliseconds since the epoch, as Redis keeps it."""
    return int(moment.timestamp() * 1000)
