"""What this receiver alone counts (what costs no Redis: the ignored, the refused) on its way to Redis."""

import asyncio
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from workers.store.counts import Tally, add_counts

# What a receiver that is killed has counted since is lost: nobody's money.
_EVERY_SECONDS = 5


class Counting:
    """Hands the tally on every few seconds, at each scrape, and at the end."""

    def __init__(self, tally: Tally, redis: Redis) -> None:
        self._tally = tally
        self._redis = redis
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Hand on until told to end, and then once more."""
        while not self._ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _EVERY_SECONDS)
            await self.hand_on()

    def end(self) -> None:
        """Tell it to end."""
        self._ended.set()

    async def hand_on(self) -> None:
        """Hand on what was counted; without Redis it is kept for the next time."""
        with suppress(RedisError, OSError), self._tally.flush() as counts:
            await run_in_threadpool(add_counts, self._redis, counts)
