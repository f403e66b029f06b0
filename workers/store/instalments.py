"""The later instalments of orders that are to come, in a sorted set until their time comes."""

from redis import Redis

from workers.store import keys
from workers.store.queue import drain_job_args
from workers.store.scripts import load_script

_BATCH = 500  # so that the script never holds Redis up for long


class InstalmentQueue:
    """The instalments in Redis. Each settlement of one writes the next (see ``settle.lua``)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._move = redis.register_script(load_script("move_instalments"))

    def has_any(self) -> bool:
        """Return whether any instalment is to come."""
        return bool(self._redis.exists(keys.INSTALMENTS))

    def move_due(self) -> None:
        """Turn the instalments whose time has come into deliveries that are due."""
        while self._move_batch() == _BATCH:
            pass

    def _move_batch(self) -> int:
        return int(
            self._move(
                keys=[keys.INSTALMENTS, keys.POLAR_CLOCK, keys.DUE],
                args=[keys.DELIVERY, keys.BODY, keys.DELIVERIES, _BATCH, *drain_job_args()],
            )
        )
