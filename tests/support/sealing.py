"""Seals facts at once, and tells which are sealed."""

from collections.abc import Iterator
from hashlib import sha1
from typing import cast
from uuid import UUID

from msgspec.structs import replace
from redis import Redis

from workers.core.grants import order_subject
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
_DIGITS = 24


def seal(redis: Redis) -> int:
    """Seal whatever can be sealed; return how many grants were moved out of the newest audit trail."""
    redis.set(keys.FORMAT, FORMAT)
    sealer = Sealer(redis, AT_ONCE)
    moved = 0
    while some := sealer.seal(50):
        moved += some
    return moved


def sealed_subjects(redis: Redis) -> list[str]:
    """Return the subjects of all sealed facts that the audit trail names, and their orders."""
    buckets = (cast(list[bytes], redis.hkeys(name)) for name in redis.scan_iter(f"{keys.FACTS}*"))
    digests = {field.decode() for bucket in buckets for field in bucket if len(field) == _DIGITS}
    named = set(_named_in_audit(redis))
    named |= {order_subject(one.split(":")[2]) for one in named}
    return sorted(one for one in named if _digest(one) in digests)


def _digest(subject: str) -> str:
    return sha1(subject.encode(), usedforsecurity=False).hexdigest()[:_DIGITS]


def _named_in_audit(redis: Redis) -> Iterator[str]:
    for day in redis.scan_iter(f"{keys.AUDIT_DAY}*"):
        for _, fields in cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(day)):
            yield _subject_of(fields[b"f"])
    for _, fields in cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.AUDIT)):
        yield fields[b"subject"].decode()


def _subject_of(name: bytes) -> str:
    letter, rest = name[:1].decode(), name[1:]
    if letter == "=":
        return f"credits:{rest.decode()}"
    return f"credits:{_KINDS[letter]}:{UUID(bytes=rest[:16])}{rest[16:].decode()}"
