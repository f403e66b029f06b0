"""Reads the hash of a delivery."""

from collections.abc import Mapping
from datetime import datetime
from itertools import chain, count, takewhile

from workers.core.delivery import Delivery, LeaseNote, Replay, Status
from workers.core.grants import order_of
from workers.store.scripts import moment_of

_LEASED, _REPLAY = b"leased:", b"replay:"  # precede the number of an attempt


def read_delivery(delivery_id: str, fields: Mapping[bytes, bytes]) -> Delivery:
    """Return the delivery that a hash describes."""
    subject = fields.get(b"subject", b"").decode()
    return Delivery(
        id=delivery_id,
        type=fields[b"type"].decode(),
        status=Status(fields[b"status"].decode()),
        reason=_reason(fields),
        received_at=moment_of(fields[b"received_at"]),
        settled_at=_moment(fields.get(b"settled_at")),
        attempts=int(fields[b"attempts"]),
        subject=subject or None,
        order_id=order_of(subject),
        customer_id=fields.get(b"customer_id", b"").decode() or None,
        is_dismissed=b"dismissed" in fields,
        refusal=fields.get(b"refusal", b"").decode(),
        erased_at=_moment(fields.get(b"erased_at")),
        leases=_leases(fields),
        replays=_replays(fields),
    )


def _leases(fields: Mapping[bytes, bytes]) -> tuple[LeaseNote, ...]:
    found = (
        LeaseNote(number=int(name[len(_LEASED) :]), at=moment_of(value))
        for name, value in fields.items()
        if name.startswith(_LEASED)
    )
    return tuple(sorted(found, key=lambda one: one.number))


def _replays(fields: Mapping[bytes, bytes]) -> tuple[Replay, ...]:
    found = (_replay(value.decode()) for name, value in fields.items() if name.startswith(_REPLAY))
    return tuple(sorted(found, key=lambda one: one.at))


def _replay(text: str) -> Replay:
    at, _, by = text.partition(" ")
    return Replay(at=moment_of(at), by=by)


def _reason(fields: Mapping[bytes, bytes]) -> str:
    """Return the reason, which a script has cut into pieces, maybe in the middle of a character."""
    names = chain([b"reason"], (b"reason:%d" % number for number in count(2)))
    return b"".join(fields[name] for name in takewhile(fields.__contains__, names)).decode()


def _moment(value: bytes | None) -> datetime | None:
    return moment_of(value) if value else None
