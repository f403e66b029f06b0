"""Logs that the disk of the embedded Redis is full, every five minutes while it is, and when it is over."""

import time
from collections.abc import Callable

from config.log import get_log

log = get_log(__name__)

_AGAIN_SECONDS = 300


class DiskWatch:
    """Asks ``find_problem`` at each check, and logs what it finds."""

    def __init__(
        self, find_problem: Callable[[], str | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._find_problem = find_problem
        self._now = now
        self._logged_at: float | None = None

    def check(self) -> None:
        """Log the problem at its beginning and every five minutes, and log its end."""
        now, problem = self._now(), self._find_problem()
        if problem is None:
            if self._logged_at is not None:
                log.info("the disk of the embedded Redis has room again")
            self._logged_at = None
        elif self._logged_at is None or now - self._logged_at >= _AGAIN_SECONDS:
            self._logged_at = now
            log.error("nothing is stored or granted", reason=problem)
