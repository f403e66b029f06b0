"""When Polar may be asked: the pause that all workers observe, and our share of Polar's rate limit."""

from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct
from redis import Redis
from redis.typing import EncodableT

from workers.core.pauses import PauseCause
from workers.store import keys
from workers.store.scripts import load_script, moment_of

SHARE_KEYS = (keys.BUDGET, keys.PAUSE, keys.REDUCED_SHARE)
_SHARE_USED_UP = "our share of Polar's rate limit is used up"


def share_args(requests_per_minute: int) -> tuple[int, float, str]:
    """Return the arguments of a script that takes requests from our share: burst, interval (ms), reason.

    Half of the share may be used at once. The other half comes evenly over the minute. So no minute has more
    requests than the share.
    """
    burst = requests_per_minute // 2
    return burst, 60_000 / (requests_per_minute - burst), _SHARE_USED_UP


class Pause(Struct, frozen=True, kw_only=True):
    """A pause that is in force: its reason, and how long it still lasts."""

    reason: str
    left: timedelta


class Outage(Struct, frozen=True, kw_only=True):
    """Pauses in a row: when they began, and the reason for the last one."""

    reason: str
    since: datetime
    cause: PauseCause


class Throttle:
    """The pause and the rate limit in Redis, which all workers on all hosts share."""

    def __init__(self, redis: Redis, *, requests_per_minute: int = 300) -> None:
        self._share_args = share_args(requests_per_minute)
        self._redis = redis
        self._pause_script = redis.register_script(load_script("pause"))
        self._take_request = redis.register_script(load_script("take_request"))
        self._background_request = redis.register_script(load_script("background_request"))

    def take_request(self) -> bool:
        """Take one request from our share; return whether it may be made.

        It may not be made during a pause. If the share is used up, every worker pauses until it has room.
        """
        return bool(self._take_request(keys=SHARE_KEYS, args=self._share_args))

    def background_delay(self, *, take: bool, is_awaited: bool = False) -> timedelta:
        """Return how soon a request that is not urgent may be made.

        With ``take``, a request that may be made now is taken from our share. While a person waits for it
        (``is_awaited``), a share that is reduced after a 429 grows back sooner.
        """
        burst, interval_ms, _ = self._share_args
        args: list[EncodableT] = [burst, interval_ms, int(take), int(is_awaited)]
        return timedelta(milliseconds=self._background_request(keys=SHARE_KEYS, args=args))

    def pause(self, seconds: float, reason: str, cause: PauseCause = PauseCause.UNAVAILABLE) -> None:
        """Make every worker wait because Polar accepts no events; if a longer pause is in force, it stays.

        If the cause is Polar's rate limit, our share of it is reduced for a while: others spend it too.
        """
        self._start_pause(seconds, reason, cause, is_outage=True)

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Make every worker wait because a request that reads met Polar's rate limit; this is no outage."""
        self._start_pause(seconds, reason, PauseCause.RATE_LIMITED, is_outage=False)

    def release_probe(self) -> None:
        """Let another worker ask Polar first after a pause: this one had nothing to send."""
        self._redis.delete(keys.PROBE)

    def end_outage(self) -> None:
        """Note that Polar accepts events again."""
        self._redis.delete(keys.OUTAGE, keys.PROBE)

    def current_pause(self) -> Pause | None:
        """Return the pause that is in force, if any."""
        pipeline = self._redis.pipeline()
        pipeline.get(keys.PAUSE)
        pipeline.pttl(keys.PAUSE)
        reason, left_ms = cast(tuple[bytes | None, int], tuple(pipeline.execute()))
        if reason is None:
            return None
        return Pause(reason=reason.decode(), left=timedelta(milliseconds=left_ms))

    def outage(self) -> Outage | None:
        """Return the current outage, if there is one."""
        found = cast(list[bytes | None], self._redis.hmget(keys.OUTAGE, "reason", "since", "cause"))
        reason, since, cause = found
        if reason is None or since is None or cause is None:
            return None
        return Outage(reason=reason.decode(), since=moment_of(since), cause=PauseCause(cause.decode()))

    def reduced_for(self) -> timedelta:
        """Return how much longer our share is reduced after a 429."""
        return timedelta(milliseconds=max(0, self._redis.pttl(keys.REDUCED_SHARE)))

    def _start_pause(self, seconds: float, reason: str, cause: PauseCause, *, is_outage: bool) -> None:
        self._pause_script(
            keys=[keys.PAUSE, keys.OUTAGE, keys.PROBE, keys.REDUCED_SHARE, keys.CLOCK],
            args=[max(1, round(seconds * 1000)), reason, cause, int(is_outage)],
        )
