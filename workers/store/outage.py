"""How a process waits while Redis is away: it logs the beginning and the end of the outage, once each."""

import time
from collections.abc import Callable

from redis.exceptions import RedisError

from config.log import get_log
from workers.store.redis_errors import DiskFullError, describe_redis_error
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)


class RedisOutage:
    """One process's view of whether Redis is away."""

    def __init__(self, timings: Timings = DEFAULT_TIMINGS) -> None:
        self._timings = timings
        self._began: float | None = None
        self._is_full = False
        self.reason = ""
        """Why Redis is away; empty while it is not."""
        self._next_wait_seconds = self._timings.first_redis_wait_seconds

    @property
    def is_ongoing(self) -> bool:
        """Return whether Redis is away."""
        return self._began is not None

    def run(self, step: Callable[[], None], *, reconnect: Callable[[], None]) -> float:
        """Run ``step``; return 0, or how many seconds to wait if Redis did not answer."""
        try:
            step()
        except RedisError as error:
            reconnect()
            return self.record_failure(error)
        self.end()
        return 0

    def record_failure(self, error: RedisError) -> float:
        """Note that Redis did not answer; return how many seconds to wait, longer each time."""
        is_full = isinstance(error, DiskFullError)
        self.reason = describe_redis_error(error)
        if self._began is None or (is_full and not self._is_full):
            self._began = self._began or time.monotonic()
            self._is_full = is_full
            log.warning("Redis is away: waiting for it", reason=self.reason)
        seconds = self._next_wait_seconds
        self._next_wait_seconds = min(2 * seconds, self._timings.longest_redis_wait_seconds)
        return seconds

    def end(self) -> None:
        """Note that Redis answers."""
        if self._began is not None:
            log.info("Redis is back", away_seconds=round(time.monotonic() - self._began, 1))
            self.reason = ""
            self._began, self._next_wait_seconds = None, self._timings.first_redis_wait_seconds
