"""What the desk keeps: which sessions were ended, and who did what."""

import json
from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct
from redis import Redis

from workers.store import keys
from workers.store.clock import redis_now
from workers.store.scripts import milliseconds_of, moment_of

MOST_ACTIONS = 1000


class Action(Struct, frozen=True, kw_only=True):
    """What an operator did: ``what`` is one line, without personal data."""

    at: datetime
    name: str
    """What the operator calls themselves."""
    session: str
    """The beginning of the session's id."""
    what: str


class DeskStore:
    """The desk's notes in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def end_session(self, id_: str, *, within: timedelta) -> None:
        """Note that a session was ended; the note is kept until the session's cookie expires."""
        self._redis.set(keys.DESK_ENDED + id_, "", ex=within)

    def is_ended(self, id_: str) -> bool:
        """Return whether a session was ended."""
        return bool(self._redis.exists(keys.DESK_ENDED + id_))

    def note_action(self, *, name: str, session: str, what: str) -> None:
        """Add to the list of actions, which keeps the newest thousand."""
        at = milliseconds_of(redis_now(self._redis))
        entry = json.dumps({"at": at, "name": name, "session": session, "what": what})
        pipeline = self._redis.pipeline()
        pipeline.lpush(keys.DESK_ACTIONS, entry)
        pipeline.ltrim(keys.DESK_ACTIONS, 0, MOST_ACTIONS - 1)
        pipeline.execute()

    def actions(self, most: int) -> list[Action]:
        """Return the newest actions, the newest first."""
        rows = cast(list[bytes], self._redis.lrange(keys.DESK_ACTIONS, 0, most - 1))
        return [_action(row) for row in rows]


def _action(row: bytes) -> Action:
    fields = json.loads(row)
    return Action(**fields | {"at": moment_of(fields["at"])})
