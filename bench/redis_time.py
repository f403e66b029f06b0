"""Reads from Redis how much processor time it has used, and how much of that in which script."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

_LUA = files("workers.store") / "lua"
_MOST_COMMANDS = 1_000_000


def cpu_seconds(redis: Redis) -> float:
    """Return the processor seconds that the server has used, those of the kernel and of the disk included."""
    used: Any = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextmanager
def seconds_by_script(redis: Redis) -> Iterator[dict[str, float]]:
    """Note each command while the block runs; then the dict has the seconds of each of our scripts.

    They are those of the script alone, without reading its arguments, answering and writing to disk.
    """
    found: dict[str, float] = defaultdict(float)
    redis.config_set("slowlog-max-len", _MOST_COMMANDS)
    redis.config_set("slowlog-log-slower-than", 0)
    redis.slowlog_reset()
    yield found
    redis.config_set("slowlog-log-slower-than", -1)
    names: dict[bytes, str] = {}
    for entry in redis.slowlog_get(_MOST_COMMANDS):
        command, _, rest = entry["command"].partition(b" ")
        if command == b"EVALSHA":
            sha = rest.partition(b" ")[0]
            names[sha] = names.get(sha) or _name_of(redis, sha)
            found[names[sha]] += entry["duration"] / 1e6


def _name_of(redis: Redis, sha: bytes) -> str:
    """Return the name of the file with which a script ends; before it stands what scripts share."""
    try:
        text: bytes = redis.execute_command("SCRIPT SHOW", sha)  # type: ignore[no-untyped-call]
    except NoScriptError:  # Redis has forgotten it
        return "other"
    ends = [file.name for file in _LUA.iterdir() if text.endswith(file.read_bytes())]
    return ends[0].removesuffix(".lua") if ends else "other"
