"""Moves the receiver's own counts and notes to Redis: requests that it answered without asking Redis."""

import asyncio
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from workers.store.arrivals import ArrivalNotes, note_arrivals
from workers.store.connect import leave_server
from workers.store.counts import Tally, add_counts
from workers.store.full_disk import require_room

# A receiver that is killed loses the counts of its last seconds. No credit depends on them.
_EVERY_SECONDS = 5


class TallyFlusher:
    """Writes tally and notes to Redis every few seconds, before each scrape, and when the receiver stops."""

    def __init__(self, tally: Tally, notes: ArrivalNotes, redis: Redis) -> None:
        self._tally = tally
        self._notes = notes
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
            require_room(self._redis)
            with self._tally.flush() as counts:
                await asyncio.to_thread(add_counts, self._redis, counts)
            with self._notes.flush() as note:
                await asyncio.to_thread(note_arrivals, self._redis, note)
        except (RedisError, OSError):
            leave_server(self._redis)
