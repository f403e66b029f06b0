"""Notes the problem that interrupted the reconciler's last round, if a person must solve it."""

from datetime import timedelta
from typing import cast

from redis import Redis

from workers.store import keys

_KNOWN_FOR = timedelta(days=1)


class ReconcileNote:
    """The note in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def write(self, problem: str) -> None:
        """Note what interrupts the rounds; an empty text means that nothing does."""
        if problem:
            self._redis.set(keys.RECONCILE_PROBLEM, problem, px=_KNOWN_FOR)
        else:
            self._redis.delete(keys.RECONCILE_PROBLEM)

    def read(self) -> str:
        """Return what interrupts the rounds, or an empty text."""
        return (cast(bytes | None, self._redis.get(keys.RECONCILE_PROBLEM)) or b"").decode()
