"""Alerts people that Redis is away or takes no writes: the one problem that workers cannot agree on in Redis.

The background process of each host sends it, so with several hosts there are several alerts.
"""

import time
from collections.abc import Callable

from config.log import get_log
from workers.monitoring.alerter import describe_failure, post
from workers.monitoring.alerts import AlertKind, redis_alert_body
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)

_MUTE_SECONDS = 600  # between two alerts, also if Redis comes and goes


class RedisAlerts:
    """Alerts once when Redis has been away for a while, and once when it is back."""

    def __init__(
        self, url: str, timings: Timings = DEFAULT_TIMINGS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._timings = timings
        self._now = now
        self._away_since: float | None = None
        self._not_before = float("-inf")
        self._is_alerted = False

    def check(self, reason: str) -> None:
        """Send what is due; ``reason`` says why Redis is away, and is empty if it is not."""
        now = self._now()
        if not reason:
            self._away_since = None
            if self._is_alerted and self._send(AlertKind.WELL, ""):
                self._is_alerted = False
            return
        self._away_since = now if self._away_since is None else self._away_since
        lasts = now - self._away_since >= self._timings.redis_away_before_alert_seconds
        if lasts and not self._is_alerted and now >= self._not_before:
            self._not_before = now + _MUTE_SECONDS
            self._is_alerted = self._send(AlertKind.REDIS, reason)

    def _send(self, kind: AlertKind, reason: str) -> bool:
        try:
            body = redis_alert_body(kind, reason)
            post(self._url, body, timeout_seconds=self._timings.alert_seconds)
        except Exception as error:  # noqa: BLE001 - no failed alert may end the process
            log.error("alert failed", kind=kind.value, reason=describe_failure(error))  # noqa: TRY400 - it may show the URL
            return False
        log.info("alert sent", kind=kind.value)
        return True
