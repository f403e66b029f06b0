"""Notices that Redis has lost its newest entries, as after a fail-over to a replica or from an old backup.

Processes remember what Redis has confirmed to them last. If that is gone, a mark in Redis says so, which
``/healthz`` and ``credits status`` show until ``credits rebuild`` has run.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import structlog
from redis import Redis

from workers.store import keys
from workers.store.scripts import load_script, milliseconds_of, moment_of

log = structlog.get_logger(__name__)

LOST = "Redis lost its newest entries"
TO_DO = "run credits rebuild, then credits backfill"


class LedgerWatch:
    """Remembers the newest entry of the audit trail, for a worker. Entries never expire."""

    def __init__(self, redis: Redis) -> None:
        self._watch = redis.register_script(load_script("watch_audit"))
        self._newest = b""

    def check(self) -> None:
        """Mark and log a loss if the newest entry that this worker has seen is gone."""
        self._newest, is_lost = self._watch(keys=[keys.AUDIT, keys.LOST], args=[self._newest])
        if is_lost:
            log.error(LOST, lost="settled grants", to_do=TO_DO)


def find_lost(redis: Redis, delivery_ids: Sequence[str]) -> list[str]:
    """Return those of these deliveries that are gone, and mark the loss; one command if there is none."""
    if not delivery_ids or redis.exists(*map(keys.delivery, delivery_ids)) == len(delivery_ids):
        return []
    pipeline = redis.pipeline(transaction=False)
    for delivery_id in delivery_ids:
        pipeline.exists(keys.delivery(delivery_id))
    seconds, _ = redis.time()
    redis.set(keys.LOST, seconds * 1000, nx=True)
    return [id_ for id_, exists in zip(delivery_ids, pipeline.execute(), strict=True) if not exists]


def lost_at(redis: Redis) -> datetime | None:
    """Return when a loss was noticed that no rebuild has ended yet; None without one."""
    found = cast(bytes | None, redis.get(keys.LOST))
    return moment_of(found) if found else None


def end_loss(redis: Redis, since: datetime | None) -> None:
    """Remove the mark after a rebuild that began with the events of ``since``, or with the first."""
    noticed = lost_at(redis)
    if noticed and (since is None or milliseconds_of(since) < milliseconds_of(noticed)):
        redis.delete(keys.LOST)
