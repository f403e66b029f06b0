"""Moves the receiver's own counts to Redis: requests that it refused or ignored without asking Redis."""

import asyncio
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from workers.store.connect import leave_server
from workers.store.counts import Tally, add_counts

# A receiver that is killed loses the counts of its last seconds. No credit depends on them.
_EVERY_SECONDS = 5


class TallyFlusher:
    """Writes the tally to Redis every few seconds, before each scrape, and when the receiver stops."""

    def __init__(self, tally: Tally, redis: Redis) -> None:
        self._tally = tally
        self._redis = redis
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Flush regularly until stopped, and then once more."""
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _EVERY_SECONDS)
            await self.flush()

    def stop(self) -> None:
        """Make ``run`` return after one last flush."""
        self._stopped.set()

    async def flush(self) -> None:
        """Write the counts to Redis; without Redis they are kept for the next time."""
        try:
            with self._tally.flush() as counts:
                await run_in_threadpool(add_counts, self._redis, counts)
        except (RedisError, OSError):
            leave_server(self._redis)
