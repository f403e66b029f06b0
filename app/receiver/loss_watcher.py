"""Notices that deliveries which this receiver has confirmed to Polar are gone from Redis."""

import asyncio
import time
from collections import deque

from redis import Redis
from redis.exceptions import RedisError

from config.log import get_log
from workers.store.connect import leave_server
from workers.store.losses import LOST, TO_DO, find_lost

log = get_log(__name__)

# A fail-over takes half a minute, and loses less than a thousand deliveries. No delivery expires so soon.
_MEMORY_SECONDS = 120
_MOST_REMEMBERED = 1000
_MOST_NAMED = 300  # in one line of the log


class LossWatcher:
    """Remembers the deliveries accepted last, and looks every few seconds whether Redis still has them."""

    def __init__(self, redis: Redis, *, every_seconds: float) -> None:
        self._redis = redis
        self._every_seconds = every_seconds
        self._accepted: deque[tuple[str, float]] = deque(maxlen=_MOST_REMEMBERED)

    def remember(self, delivery_id: str) -> None:
        """Remember a delivery that Redis has just stored."""
        self._accepted.append((delivery_id, time.monotonic()))

    async def run(self) -> None:
        """Look regularly, until cancelled."""
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self._check()
            except (RedisError, OSError):  # while Redis is away, nothing is forgotten
                leave_server(self._redis)

    async def _check(self) -> None:
        if lost := await asyncio.to_thread(find_lost, self._redis, [id_ for id_, _ in self._accepted]):
            newest = lost[-_MOST_NAMED:]
            log.error(LOST, lost="accepted deliveries", count=len(lost), deliveries=newest, to_do=TO_DO)
        gone, oldest = set(lost), time.monotonic() - _MEMORY_SECONDS
        kept = [one for one in self._accepted if one[0] not in gone and one[1] > oldest]
        self._accepted = deque(kept, maxlen=_MOST_REMEMBERED)
