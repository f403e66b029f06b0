"""When the reconciler runs: one round at a time, on one of all hosts."""

from datetime import timedelta

from redis import Redis

from workers.store import keys
from workers.store.counts import Tally, add_counts


class ReconcileSchedule:
    """The key that stands from one round until the next is due."""

    def __init__(self, redis: Redis, tally: Tally) -> None:
        self._redis = redis
        self._tally = tally

    def begin(self, *, at_most: timedelta) -> bool:
        """Begin a round if one is due and nobody has begun it; it ends after ``at_most`` if its host dies."""
        return bool(self._redis.set(keys.RECONCILED, 1, nx=True, px=at_most))

    def end(self, *, next_in: timedelta) -> None:
        """Say when the next round is due, and write down what this one has counted."""
        self._redis.pexpire(keys.RECONCILED, next_in)
        with self._tally.flush() as counts:  # a round that finds nothing settles nothing
            add_counts(self._redis, counts)

    def reconnect(self) -> None:
        """Connect anew before the next command: after an outage the name may lead to another server."""
        self._redis.connection_pool.disconnect()
