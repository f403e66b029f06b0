"""Which rules the workers use, as the last one that ticked has noted."""

from typing import cast

from msgspec import Struct
from redis import Redis

from workers.store import keys


class RulesNote(Struct, frozen=True, kw_only=True):
    """The rules in force: ``summary`` is empty while no worker is alive."""

    summary: str
    is_file_refused: bool


def read_rules_note(redis: Redis) -> RulesNote:
    """Return what is noted."""
    in_force, refused = cast(list[bytes | None], redis.hmget(keys.RULES, "in_force", "refused"))
    return RulesNote(summary=(in_force or b"").decode(), is_file_refused=refused == b"1")
