"""Shows the outbox of credit events: how many wait, since when, and what became of each."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import cast

from msgspec import Struct
from redis import Redis

from workers.core.event_names import EventName
from workers.core.grants import subject_of
from workers.core.outbox_state import EventStatus, OutboxState
from workers.store import keys
from workers.store.facts import read_fields
from workers.store.outbox import event_member, event_name
from workers.store.scripts import moment_of

_PAGE = 200


class EventRow(Struct, frozen=True, kw_only=True):
    """A credit event as operators see it; ``at`` is when it is due, was given up, or was sent."""

    name: EventName
    status: EventStatus
    at: datetime
    attempts: int = 0
    error: str = ""
    refused_since: datetime | None = None


class OutboxView:
    """The events in one Redis, as far as they are remembered."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def state(self) -> OutboxState:
        """Return the state of all events together, in two round trips."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zcard(keys.OUTBOX)
        pipeline.zcard(keys.OUTBOX_GIVEN_UP)
        pipeline.zrange(keys.OUTBOX, 0, 0, withscores=True)
        pipeline.zrange(keys.OUTBOX_REFUSED, 0, 0, withscores=True)
        pipeline.zrange(keys.OUTBOX_SENT, -1, -1, withscores=True)
        waiting, given_up, due, refused, sent = pipeline.execute()
        error = self._redis.hget(keys.OUTBOX_ATTEMPTS, refused[0][0]) if refused else None
        return OutboxState(
            waiting=waiting,
            oldest=min((moment_of(at) for _, at in (*due, *refused)), default=None),
            given_up=given_up,
            last_sent=moment_of(sent[0][1]) if sent else None,
            error=read_attempts(cast(bytes | None, error))[1],
        )

    def failed(self) -> Iterator[EventRow]:
        """Yield the events that were given up, newest first, and those that are refused, oldest first."""
        yield from self._rows(keys.OUTBOX_GIVEN_UP, EventStatus.GIVEN_UP, newest_first=True)
        yield from self._rows(keys.OUTBOX_REFUSED, EventStatus.REFUSED)

    def all(self) -> Iterator[EventRow]:
        """Yield the failed events, the others that wait, and those that were sent last, newest first."""
        waiting = self._rows(keys.OUTBOX, EventStatus.WAITING)
        sent = self._rows(keys.OUTBOX_SENT, EventStatus.SENT, newest_first=True)
        return chain(self.failed(), (one for one in waiting if one.refused_since is None), sent)

    def find(self, id_: str) -> EventName | None:
        """Return the name of the event with this id: of any settled grant, or of a remembered failure."""
        failure = EventName.of_id(id_)
        if self._redis.hexists(keys.OUTBOX_FAILURES, event_member(failure)):
            return failure
        names = list(_possible_names(id_))
        settled = read_fields(self._redis, [(name.subject, f"settled:{name.rest}") for name in names])
        return next((name for name, found in zip(names, settled, strict=True) if found), None)

    def _rows(self, list_: str, status: EventStatus, *, newest_first: bool = False) -> Iterator[EventRow]:
        start = 0
        while page := self._page(list_, start, newest_first=newest_first):
            yield from self._read(page, status)
            start += len(page)

    def _page(self, list_: str, start: int, *, newest_first: bool) -> Sequence[tuple[bytes, float]]:
        found = self._redis.zrange(list_, start, start + _PAGE - 1, desc=newest_first, withscores=True)
        return cast(list[tuple[bytes, float]], found)

    def _read(self, page: Sequence[tuple[bytes, float]], status: EventStatus) -> Iterator[EventRow]:
        members = cast(list[str], [member for member, _ in page])
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hmget(keys.OUTBOX_ATTEMPTS, members)
        pipeline.zmscore(keys.OUTBOX_REFUSED, members)
        pipeline.zmscore(keys.OUTBOX, members)
        for (member, score), tried, since, due in zip(page, *pipeline.execute(), strict=True):
            attempts, error = read_attempts(tried)
            yield EventRow(
                name=event_name(member),
                status=status,
                at=moment_of(due if status is EventStatus.REFUSED and due else score),
                attempts=attempts,
                error=error,
                refused_since=moment_of(since) if since else None,
            )


def read_attempts(text: str | bytes | None) -> tuple[int, str]:
    """Return how often an event was refused, and why the last time."""
    whole = text.decode() if isinstance(text, bytes) else text or "0"
    count, _, error = whole.partition(" ")
    return int(count), error


def _possible_names(key: str) -> Iterator[EventName]:
    """Yield what a grant's key may name: the meter is at its end, and may contain colons itself."""
    for place, char in enumerate(key):
        if char == ":" and (meter := key[place + 1 :]):
            yield EventName(subject_of(key, meter), meter)
