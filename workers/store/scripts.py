"""Loads Lua scripts. Each is one atomic step, and takes the time from Redis, the one clock of all hosts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

_EPOCH = datetime.fromtimestamp(0, UTC)


_NEEDS = "-- needs: "


@cache
def load_script(name: str) -> str:
    """Return ``workers/store/lua/<name>.lua`` behind the functions that it shares with others."""
    return with_needed(_read(name))


def with_needed(script: str) -> str:
    """Return a script behind the functions that it uses: each file of them once, behind those that it uses.

    The first line of a script or of such a file names them: ``-- needs: facts, links``. A script gets no
    others, because Redis makes all of them anew at each run.
    """
    return "".join([*map(_read, ("shared", *dict.fromkeys(_needed_by(script)))), script])


def _needed_by(script: str) -> Iterator[str]:
    first_line = script.partition("\n")[0]
    if first_line.startswith(_NEEDS):
        for name in first_line.removeprefix(_NEEDS).split(", "):
            yield from _needed_by(_read(name))
            yield name


@cache
def _read(name: str) -> str:
    return (files("workers.store") / "lua" / f"{name}.lua").read_text()


def moment_of(milliseconds: str | bytes | float) -> datetime:
    """Return the moment that Redis keeps as milliseconds since the epoch."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, tz=UTC)


def milliseconds_of(moment: datetime) -> int:
    """Return a moment as milliseconds since the epoch, as Redis keeps it."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)  # exact: a float may be a millisecond less
