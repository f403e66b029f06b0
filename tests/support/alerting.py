"""Looks for trouble as a worker does, and lets time pass between two alerts."""

from redis import Redis

from workers.monitoring.alerter import Alerter
from workers.monitoring.alerts import AlertKind
from workers.store import keys


def tick(alerter: Alerter) -> None:
    """Look, and wait until people have heard or cannot be told."""
    alerter.check()
    alerter.finish()


def let_mute_end(redis: Redis) -> None:
    """Let ten minutes pass since people were told."""
    redis.delete(*map(keys.muted, AlertKind))
