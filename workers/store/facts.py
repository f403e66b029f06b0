"""Reads single fields of the ledger's facts, sealed or not."""

from collections.abc import Sequence

from redis import Redis

from workers.store.scripts import load_script


def read_fields(redis: Redis, places: Sequence[tuple[str, str]]) -> list[bytes | None]:
    """Return a field of each of these facts: a subject and the field's name; None if there is none."""
    if not places:
        return []
    read = redis.register_script(load_script("read_fields"))
    found: list[bytes | None] = read(keys=[], args=[one for place in places for one in place])
    return found
