"""Everybody's pause: while Polar cannot take anything, nobody asks, and one asks first afterwards."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from redis import Redis

from workers import keys
from workers.scripts import lua


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A pause that stands: why, and how much of it is left."""

    reason: str
    left: timedelta


class Pauses:
    """The pause in Redis that all workers on all hosts keep."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pause = redis.register_script(lua("pause"))

    def begin(self, seconds: float, reason: str) -> None:
        """Let everybody wait; a longer pause that stands already holds."""
        self._pause(
            keys=[keys.PAUSE, keys.OUTAGE, keys.PROBE],
            args=[max(1, round(seconds * 1000)), reason],
        )

    def give_back(self) -> None:
        """Let another be the first to ask Polar: this worker had nothing to send."""
        self._redis.delete(keys.PROBE)

    def over(self) -> None:
        """Polar takes our events again: nobody needs to probe."""
        self._redis.delete(keys.OUTAGE, keys.PROBE)

    def standing(self) -> Pause | None:
        """Return the pause that stands, if one does."""
        pipeline = self._redis.pipeline()
        pipeline.get(keys.PAUSE)
        pipeline.pttl(keys.PAUSE)
        reason, left = cast(tuple[bytes | None, int], tuple(pipeline.execute()))
        if reason is None:
            return None
        return Pause(reason=reason.decode(), left=timedelta(milliseconds=left))
