"""When the reconciler runs: one round at a time, on one host only."""

from datetime import timedelta

from redis import Redis

from workers.store import keys
from workers.store.counts import Tally, add_counts
from workers.store.reconcile_note import ReconcileNote


class ReconcileSchedule:
    """A key in Redis that exists from the beginning of one round until the next is due."""

    def __init__(self, redis: Redis, tally: Tally) -> None:
        self._redis = redis
        self._tally = tally

    def begin(self, *, at_most: timedelta) -> bool:
        """Begin a round; return False if none is due. If this host dies, the round ends after ``at_most``."""
        return bool(self._redis.set(keys.RECONCILED, 1, nx=True, px=at_most))

    def end(self, *, next_in: timedelta, problem: str = "") -> None:
        """Set when the next round is due, and write what this one has counted to Redis.

        ``problem`` is what interrupted the round, if a person must solve it.
        """
        ReconcileNote(self._redis).write(problem)
        self._redis.pexpire(keys.RECONCILED, next_in)
        with self._tally.flush() as counts:  # a round that finds nothing has no settlement that writes them
            add_counts(self._redis, counts)

    def looks_for_disputes(self, *, needed: bool) -> bool:
        """Return whether lost disputes matter: once a rule ``needed`` them, what it granted always does."""
        if needed:
            self._redis.set(keys.DISPUTABLE, 1)
        return needed or bool(self._redis.exists(keys.DISPUTABLE))
