"""Notices that Redis has lost entries: all, or the newest, as after a fail-over or from an old backup.

Processes remember what Redis has confirmed to them last. If that is gone, a mark in Redis says so, which
``/healthz`` and ``credits status`` show until ``credits rebuild`` has run.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from redis import Redis

from config.log import get_log
from workers.core.findings import Finding
from workers.store import keys
from workers.store.scripts import load_script, milliseconds_of, moment_of

log = get_log(__name__)

LOST = "Redis lost entries that it had confirmed"
TO_DO = (
    "stop the workers, run credits rebuild, start them, then run credits recover --delivered --since 1d and "
    "credits backfill --since 7d"
)


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
    mark_loss(redis)
    return [id_ for id_, exists in zip(delivery_ids, pipeline.execute(), strict=True) if not exists]


def mark_loss(redis: Redis) -> None:
    """Mark that Redis has lost entries, unless an earlier loss is marked."""
    seconds, _ = redis.time()
    redis.set(keys.LOST, seconds * 1000, nx=True)


class ComparisonSchedule:
    """When the ledger is compared with Polar: on one host at a time, and at once after Redis was emptied."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, *, every: timedelta) -> bool:
        """Begin a comparison; return False if none is due, or a loss is known already."""
        return lost_at(self._redis) is None and bool(self._redis.set(keys.COMPARED, 1, nx=True, px=every))

    def repeat(self, *, within: timedelta) -> None:
        """Make the next comparison due sooner."""
        self._redis.pexpire(keys.COMPARED, within)

    def mark_loss(self) -> None:
        """Mark that the ledger was lost."""
        mark_loss(self._redis)


def lost_at(redis: Redis) -> datetime | None:
    """Return when a loss was noticed that no rebuild has ended yet; None without one."""
    found = cast(bytes | None, redis.get(keys.LOST))
    return moment_of(found) if found else None


def loss_findings(redis: Redis) -> list[Finding]:
    """Return an error if a loss was noticed that no rebuild has ended yet."""
    if lost_at(redis) is None:
        return []
    return [Finding(level="error", what="ledger", detail=f"{LOST}: {TO_DO}")]


def end_loss(redis: Redis, since: datetime | None) -> None:
    """Remove the mark after a rebuild that began with the events of ``since``, or with the first."""
    noticed = lost_at(redis)
    if noticed and (since is None or milliseconds_of(since) < milliseconds_of(noticed)):
        redis.delete(keys.LOST)
