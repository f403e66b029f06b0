"""What strangers are refused for: counted, and told in the log so seldom that they cannot fill it."""

import time
from collections import Counter
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

# Of each reason: a line a second for a day would be some 15 MB.
_QUIET_SECONDS = 10.0


class Refusals:
    """Tells of the first refusal for a reason at once, and of those that follow soon with the next."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def tell(self, reason: str) -> None:
        """Note one refusal; ``reason`` is one of our few phrases, and holds nothing of what was sent."""
        self._untold[reason] += 1
        now = self._now()
        if now - self._told_at.get(reason, float("-inf")) >= _QUIET_SECONDS:
            self._told_at[reason] = now
            log.warning("refused", detail=reason, times=self._untold.pop(reason))
