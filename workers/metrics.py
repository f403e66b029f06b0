"""What Prometheus is told: how things stand for all processes together, read from Redis at each scrape.

Names and units follow https://prometheus.io/docs/practices/naming/. Every number is read in constant time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from workers import keys
from workers.deliveries import DeliveryStore
from workers.pauses import Pauses
from workers.queue import queue_length, workers_alive


def exposition(redis: Redis, now: datetime | None = None) -> bytes:
    """Return the metrics in Prometheus's text format; RedisError if Redis does not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Whole(redis, now or datetime.now(UTC)))
    return generate_latest(registry)


class _Whole(Collector):
    """The service as one: the same numbers whichever receiver is asked."""

    def __init__(self, redis: Redis, now: datetime) -> None:
        self._redis = redis
        self._now = now

    def describe(self) -> list[Metric]:
        """Say nothing before the scrape: registering asks Redis for nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        store, pauses = DeliveryStore(self._redis), Pauses(self._redis)
        kept = GaugeMetricFamily(
            "credits_deliveries", "Deliveries that are kept, by what became of them.", labels=["status"]
        )
        for status, count in store.counts().items():
            kept.add_metric([status.value], count)
        yield kept
        oldest, outage, pause = store.oldest_waiting(), pauses.outage(), pauses.standing()
        for name, words, value in (
            ("credits_oldest_waiting_seconds", "How long the oldest delivery waits.", self._age(oldest)),
            (
                "credits_outage_seconds",
                "How long Polar has taken nothing.",
                self._age(outage.since if outage else None),
            ),
            (
                "credits_pause_seconds",
                "How long Polar is not asked yet.",
                pause.left.total_seconds() if pause else 0.0,
            ),
            ("credits_workers", "Workers that gave a sign of life.", workers_alive(self._redis, self._now)),
            ("credits_queued_jobs", "RQ jobs that wait in our queue.", queue_length(self._redis)),
        ):
            yield GaugeMetricFamily(name, words, value=value)
        yield CounterMetricFamily(
            "credits_grants", "Grants and take-backs that Polar has confirmed.", value=self._granted()
        )

    def _age(self, since: datetime | None) -> float:
        return max(0.0, (self._now - since).total_seconds()) if since else 0.0

    def _granted(self) -> int:
        return self._redis.xlen(keys.AUDIT)
