"""The Lua scripts: each is one atomic step, and takes its time from Redis, the one clock of all hosts."""

from functools import cache
from importlib.resources import files


@cache
def lua(name: str) -> str:
    """Return the script ``workers/store/lua/<name>.lua`` behind the functions that all of them share."""
    folder = files("workers.store") / "lua"
    return (folder / "shared.lua").read_text() + (folder / f"{name}.lua").read_text()
