"""When Polar may be asked: the pause that all workers keep, and our share of the rate limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from redis import Redis
from redis.typing import EncodableT

from workers.core.pauses import PauseCause
from workers.store import keys
from workers.store.scripts import load_script, moment_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A pause that stands: why, and how much of it is left."""

    reason: str
    left: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """Pauses in a row: why the last one, and since when."""

    reason: str
    since: datetime
    cause: PauseCause


class Throttle:
    """The pause in Redis that all workers on all hosts keep."""

    def __init__(self, redis: Redis, *, requests_per_minute: int = 300) -> None:
        # Half of it may come at once, the other half evenly over the minute: together no more than it.
        self._burst = requests_per_minute // 2
        self._interval_ms = 60_000 / (requests_per_minute - self._burst)
        self._redis = redis
        self._pause_script = redis.register_script(load_script("pause"))
        self._take_request = redis.register_script(load_script("take_request"))
        self._background_request = redis.register_script(load_script("background_request"))

    def take_request(self) -> bool:
        """Take one request from our share of the rate limit; none during a pause.

        If it is used up, everybody waits a little.
        """
        args: list[EncodableT] = [
            self._burst,
            self._interval_ms,
            "our share of Polar's rate limit is used up",
        ]
        return bool(self._take_request(keys=[keys.BUDGET, keys.PAUSE, keys.THRIFT], args=args))

    def background_delay(self, *, take: bool) -> timedelta:
        """Return how soon a request that can wait may be made; if that is now, take it from our share."""
        args: list[EncodableT] = [self._burst, self._interval_ms, int(take)]
        return timedelta(
            milliseconds=self._background_request(keys=[keys.BUDGET, keys.PAUSE, keys.THRIFT], args=args)
        )

    def pause(self, seconds: float, reason: str, cause: PauseCause = PauseCause.UNAVAILABLE) -> None:
        """Let everybody wait, as Polar takes no event now; a longer pause that stands already holds.

        At Polar's rate limit we take a smaller share for a while, for others spend it too.
        """
        self._start_pause(seconds, reason, cause, is_outage=True)

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Let everybody wait, as who only reads has met Polar's limit: that is no outage."""
        self._start_pause(seconds, reason, PauseCause.RATE_LIMITED, is_outage=False)

    def _start_pause(self, seconds: float, reason: str, cause: PauseCause, *, is_outage: bool) -> None:
        self._pause_script(
            keys=[keys.PAUSE, keys.OUTAGE, keys.PROBE, keys.THRIFT],
            args=[max(1, round(seconds * 1000)), reason, cause, int(is_outage)],
        )

    def release_probe(self) -> None:
        """Let another be the first to ask Polar: this worker had nothing to send."""
        self._redis.delete(keys.PROBE)

    def end_outage(self) -> None:
        """Polar takes our events again: nobody needs to probe."""
        self._redis.delete(keys.OUTAGE, keys.PROBE)

    def current_pause(self) -> Pause | None:
        """Return the pause that stands, if one does."""
        pipeline = self._redis.pipeline()
        pipeline.get(keys.PAUSE)
        pipeline.pttl(keys.PAUSE)
        reason, left = cast(tuple[bytes | None, int], tuple(pipeline.execute()))
        if reason is None:
            return None
        return Pause(reason=reason.decode(), left=timedelta(milliseconds=left))

    def outage(self) -> Outage | None:
        """Return since when and why Polar has taken nothing, if that is so."""
        found = cast(list[bytes | None], self._redis.hmget(keys.OUTAGE, "reason", "since", "cause"))
        reason, since, cause = found
        if reason is None or since is None or cause is None:
            return None
        return Outage(reason=reason.decode(), since=moment_of(since), cause=PauseCause(cause.decode()))

    def reduced_for(self) -> timedelta:
        """Return how long we still take less than our share, after a 429."""
        return timedelta(milliseconds=max(0, self._redis.pttl(keys.THRIFT)))
