"""The later instalments of orders that are to come, in a sorted set until their time comes."""

from datetime import timedelta
from typing import cast

from redis import Redis

from workers.core.next_instalments import NextInstalment
from workers.store import keys
from workers.store.clock import redis_now
from workers.store.queue import drain_job_args
from workers.store.scripts import load_script, milliseconds_of, moment_of

_BATCH = 500  # so that the script never holds Redis up for long
_MOST_BATCHES = 20  # in one tick, so that a worker does not fall silent


class InstalmentQueue:
    """The instalments in Redis. Each settlement of one writes the next (see ``settle.lua``)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._move = redis.register_script(load_script("move_instalments"))

    def soonest(self, most: int) -> list[NextInstalment]:
        """Return the instalments that are looked at next, the soonest first; ``at`` is when that is."""
        found = cast(
            list[tuple[bytes, float]],
            self._redis.zrange(keys.INSTALMENTS, 0, most - 1, withscores=True),
        )
        return [_read(member.decode(), score) for member, score in found]

    def count(self) -> int:
        """Return how many orders and meters have an instalment to come."""
        return int(self._redis.zcard(keys.INSTALMENTS))

    def count_due(self) -> int:
        """Return how many are due and not settled, whether they are deliveries already or not."""
        overdue = self._redis.zcount(keys.INSTALMENTS, "-inf", self._polar_ms())
        return int(overdue) + int(self._redis.scard(keys.DUE_INSTALMENTS))

    def overdue(self) -> timedelta | None:
        """Return how long ago the soonest should have become a delivery; None if none should have."""
        soonest = self.soonest(1)
        if not soonest:
            return None
        late = moment_of(self._polar_ms()) - soonest[0].at
        return late if late > timedelta(0) else None

    def _polar_ms(self) -> int:
        """Return the time by Polar's clock, as far as it is known."""
        ahead = cast(bytes | None, self._redis.get(keys.POLAR_CLOCK))
        return milliseconds_of(redis_now(self._redis)) - int(ahead or 0)

    def has_any(self) -> bool:
        """Return whether any instalment is to come."""
        return bool(self._redis.exists(keys.INSTALMENTS))

    def move_due(self) -> None:
        """Turn the instalments whose time has come into deliveries that are due; the next tick goes on."""
        for _ in range(_MOST_BATCHES):
            if self._move_batch() < _BATCH:
                return

    def _move_batch(self) -> int:
        return int(
            self._move(
                keys=[keys.INSTALMENTS, keys.POLAR_CLOCK, keys.DUE, keys.DUE_INSTALMENTS],
                args=[keys.DELIVERY, keys.BODY, keys.DELIVERIES, _BATCH, *drain_job_args()],
            )
        )


def _read(member: str, score: float) -> NextInstalment:
    order_id, number, meter = member.split(" ", 2)
    return NextInstalment(order_id=order_id, number=int(number), meter=meter, at=moment_of(score))
