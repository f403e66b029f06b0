"""Seals facts at once, and tells which are sealed."""

from dataclasses import replace
from typing import cast
from uuid import UUID

from redis import Redis

from workers.store import keys
from workers.store.format import FORMAT
from workers.store.sealing import Sealer
from workers.timings import DEFAULT_TIMINGS

AT_ONCE = replace(DEFAULT_TIMINGS, seal_after_seconds=0, seal_first_seconds=0)

_KINDS = {
    "o": "order",
    "i": "instalment",
    "r": "refund",
    "c": "cycle",
    "s": "subscription",
    "u": "customer",
    "a": "adjust",
    "v": "revoke",
    "d": "dispute",
}
_FIRST_PIECE = 32
"""The number of a further piece is less than any letter."""


def seal(redis: Redis) -> int:
    """Seal whatever can be sealed; return how many grants were moved out of the newest audit trail."""
    redis.set(keys.FORMAT, FORMAT)
    sealer = Sealer(redis, AT_ONCE)
    moved = 0
    while some := sealer.seal(50):
        moved += some
    return moved


def sealed_subjects(redis: Redis) -> list[str]:
    """Return the subjects of all sealed facts."""
    buckets = redis.scan_iter(f"{keys.FACTS}*")
    names = (name for bucket in buckets for name in cast(list[bytes], redis.hkeys(bucket)))
    return sorted(_subject_of(name) for name in names if name[0] > _FIRST_PIECE)


def _subject_of(name: bytes) -> str:
    letter, rest = name[:1].decode(), name[1:]
    if letter == "=":
        return f"credits:{rest.decode()}"
    return f"credits:{_KINDS[letter]}:{UUID(bytes=rest[:16])}{rest[16:].decode()}"
