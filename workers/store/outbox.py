"""The outbox: credit events that settlements have left for the storefront, and what became of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from msgspec import Struct
from redis import Redis
from redis.typing import EncodableT

from workers.core.event_names import EventName, Failure
from workers.store import keys
from workers.store.scripts import load_script, moment_of
from workers.timings import DEFAULT_TIMINGS, Timings

# A month's renewals of a large shop. In Redis they take about 20 MB.
MOST_WAITING = 100_000
MOST_GIVEN_UP = 10_000
MOST_SENT = 1_000

OUTBOX_KEYS = (
    keys.OUTBOX,
    keys.OUTBOX_REFUSED,
    keys.OUTBOX_ATTEMPTS,
    keys.OUTBOX_FAILURES,
    keys.OUTBOX_SENT,
    keys.OUTBOX_GIVEN_UP,
)
"""What the functions of ``outbox.lua`` work on."""


class LeasedEvent(Struct, frozen=True, kw_only=True):
    """An event that this sender alone sends now; ``failure`` is what an event about a failure tells."""

    name: EventName
    attempts: int
    failure: Failure | None


class Sending(Struct, frozen=True, kw_only=True):
    """What came of sending an event: empty ``error`` if the storefront took it.

    It is sent again ``after_seconds``; never if that is None.
    """

    name: EventName
    type: str = ""
    error: str = ""
    after_seconds: float | None = None


class Outbox:
    """The events in one Redis that are to be sent."""

    def __init__(self, redis: Redis, timings: Timings = DEFAULT_TIMINGS) -> None:
        self._redis = redis
        self._timings = timings
        self._lease = redis.register_script(load_script("lease_events"))
        self._record = redis.register_script(load_script("record_events"))
        self._resend = redis.register_script(load_script("resend_events"))

    def lease(self, most: int) -> list[LeasedEvent]:
        """Lease up to ``most`` events that are due."""
        longest = max(self._timings.longest_event_retry_seconds, self._timings.event_lease_seconds)
        rows = self._lease(keys=OUTBOX_KEYS, args=[self._lease_ms, int(longest * 1000), most])
        return [_leased(*row) for row in cast(list[list[bytes]], rows)]

    def resend(self, names: Sequence[EventName]) -> list[LeasedEvent]:
        """Lease these events, whatever became of them: the caller sends them itself."""
        if not names:
            return []
        members = list(map(event_member, names))
        self._resend(keys=OUTBOX_KEYS, args=[self._lease_ms, *members])
        failures = cast(list[bytes | None], self._redis.hmget(keys.OUTBOX_FAILURES, members))
        return [
            _leased(member.encode(), b"0", failure or b"")
            for member, failure in zip(members, failures, strict=True)
        ]

    def record(self, sendings: Iterable[Sending]) -> int:
        """Record what became of leased events; return how many were given up."""
        rows = list(map(_row, sendings))
        if not rows:
            return 0
        patience_ms = int(self._timings.event_patience_seconds * 1000)
        args: list[EncodableT] = [json.dumps(rows), patience_ms, MOST_SENT, MOST_GIVEN_UP]
        return int(self._record(keys=[*OUTBOX_KEYS, keys.COUNTS, keys.CLOCK], args=args))

    @property
    def _lease_ms(self) -> int:
        return int(self._timings.event_lease_seconds * 1000)


def event_name(member: bytes) -> EventName:
    """Return the name of an event from the text that Redis has for it."""
    subject, _, rest = member.decode().partition("\n")
    return EventName(subject, rest)


def event_member(name: EventName) -> str:
    """Return the text that Redis has for the name of an event."""
    return "\n".join(name)


def _leased(member: bytes, attempts: bytes, failure: bytes) -> LeasedEvent:
    return LeasedEvent(name=event_name(member), attempts=int(attempts), failure=_failure(failure))


def _failure(text: bytes) -> Failure | None:
    if not text:
        return None
    fields: dict[str, Any] = json.loads(text)
    at: datetime = moment_of(fields.pop("at"))
    return Failure(at=at, **fields)


def _row(one: Sending) -> dict[str, object]:
    row: dict[str, object] = {"event": event_member(one.name), "type": one.type}
    if one.error:
        row["error"] = one.error
    if one.after_seconds is not None:
        row["after_ms"] = round(one.after_seconds * 1000)
    return row
