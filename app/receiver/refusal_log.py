"""Logs refused requests, at a limited rate, so that strangers cannot fill the log."""

import time
from collections import Counter
from collections.abc import Callable

from config.log import get_log

log = get_log(__name__)

# Between two lines with the same reason. One line a second would be some 15 MB a day.
_QUIET_SECONDS = 10.0


class RefusalLog:
    """Logs a refusal unless its reason was logged in the last ten seconds; the next line counts it."""

    def __init__(self, event: str = "request refused", *, now: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._now = now
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def is_due(self, reason: str) -> bool:
        """Return whether a refusal for this reason would be logged now."""
        return self._now() - self._logged_at.get(reason, float("-inf")) >= _QUIET_SECONDS

    def add(self, reason: str, **details: str | None) -> None:
        """Count one refusal, and log it if its reason was not logged lately.

        ``reason`` is one of our own few phrases; it contains nothing of what was sent. ``details`` are logged
        beside it, except None, and may contain such things; they are those of this one refusal.
        """
        self._unlogged[reason] += 1
        if self.is_due(reason):
            self._logged_at[reason] = self._now()
            given = {name: detail for name, detail in details.items() if detail is not None}
            log.warning(self._event, reason=reason, count=self._unlogged.pop(reason), **given)
