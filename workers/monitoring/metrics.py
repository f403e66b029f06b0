"""What Prometheus is told: how things stand for all processes together, read from Redis at each scrape.

Names and units follow https://prometheus.io/docs/practices/naming/. No number takes longer to read the more
deliveries there are or were.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from workers.core.delivery import Status
from workers.core.envelope import STORED_TYPES
from workers.store import counts, keys
from workers.store.deliveries import DeliveryStore
from workers.store.queue import queue_length, workers_alive
from workers.store.throttle import Throttle

# So long after all that may come at once was taken, our share of the rate limit is whole again.
_BUDGET_SECONDS = 60


_TYPES = (*sorted(STORED_TYPES), "unreadable")
_STORED = tuple((type_, disposition) for type_ in _TYPES for disposition in ("accepted", "duplicate"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """What only grows; samples known beforehand begin at zero, so that alerts see the first that counts."""

    name: str
    words: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()


COUNTS = (
    Count(
        name=counts.WEBHOOKS,
        words="Webhooks with a good signature, by what the receiver did.",
        labels=("type", "disposition"),
        known=(*_STORED, ("other", "ignored")),
    ),
    Count(
        name=counts.REJECTED_REQUESTS,
        words="Webhooks that the receiver answered with an error, and what it could not read as requests.",
        labels=("reason",),
        known=(
            ("body_too_large",),
            ("incomplete",),
            ("invalid_signature",),
            ("malformed_http",),
            ("unavailable",),
        ),
    ),
    Count(
        name=counts.OUTCOMES,
        words="Deliveries that came to an end; one that is run again ends again.",
        labels=("status",),
        known=tuple((status.value,) for status in Status if status is not Status.WAITING),
    ),
    Count(name=counts.RETRIES, words="Deliveries put off, to be tried again.", known=((),)),
    Count(name=counts.GRANTS, words="Grants and take-backs that Polar has confirmed.", labels=("meter",)),
    Count(name=counts.GRANTED_UNITS, words="Credits that Polar has confirmed.", labels=("meter",)),
    Count(
        name=counts.TAKEN_BACK_UNITS, words="Credits taken back, as Polar has confirmed.", labels=("meter",)
    ),
    Count(
        name=counts.POLAR_REQUESTS,
        words="Requests made to Polar, by the status of its answer; none if no answer came.",
        labels=("status",),
    ),
)

_WAIT = counts.DELIVERY_TO_CREDIT_SECONDS

Counted = Mapping[str, float]


def exposition(redis: Redis) -> bytes:
    """Return the metrics in Prometheus's text format; RedisError if Redis does not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Whole(redis, datetime.now(UTC)))
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
        yield self._kept()
        for name, words, value in self._standing():
            yield GaugeMetricFamily(f"credits_{name}", words, value=value)
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.COUNTS))
        counted = {name.decode(): float(value) for name, value in found.items()}
        for count in COUNTS:
            yield _counter(count, counted)
        yield _waits(counted)

    def _kept(self) -> Metric:
        words = "Deliveries that are kept, by what became of them."
        kept = GaugeMetricFamily("credits_stored_deliveries", words, labels=["status"])
        for status, count in DeliveryStore(self._redis).count_by_status().items():
            kept.add_metric([status.value], count)
        return kept

    def _standing(self) -> Iterator[tuple[str, str, float]]:
        throttle = Throttle(self._redis)
        oldest = DeliveryStore(self._redis).oldest_waiting()
        outage, pause = throttle.outage(), throttle.current_pause()
        away_since = outage.since if outage else None
        left = pause.left.total_seconds() if pause else 0.0
        yield "oldest_waiting_seconds", "How long the oldest delivery waits.", self._age(oldest)
        yield "polar_outage_seconds", "How long Polar has taken nothing.", self._age(away_since)
        yield "polar_pause_remaining_seconds", "How long Polar is not asked yet.", left
        yield "polar_rate_limit_used_ratio", "How much of our share of its rate limit is used.", self._used()
        thrift = throttle.reduced_for().total_seconds()
        yield (
            "polar_backoff_remaining_seconds",
            "How long less than our share is taken yet, after a 429.",
            thrift,
        )
        yield "workers", "Workers that gave a sign of life.", workers_alive(self._redis, self._now)
        yield "queued_jobs", "RQ jobs that wait in our queue.", queue_length(self._redis)

    def _age(self, since: datetime | None) -> float:
        return max(0.0, (self._now - since).total_seconds()) if since else 0.0

    def _used(self) -> float:
        left_ms = self._redis.pttl(keys.BUDGET)  # negative where there is none
        return min(1.0, max(0, left_ms) / (_BUDGET_SECONDS * 1000))


def _counter(count: Count, counted: Counted) -> Metric:
    family = CounterMetricFamily(f"credits_{count.name}", count.words, labels=count.labels)
    samples = dict.fromkeys(count.known, 0.0)
    for name, value in counted.items():
        what, *labels = name.split(" ", len(count.labels))
        if what == count.name:
            samples[tuple(labels)] = value
    for labels_, value in sorted(samples.items()):
        family.add_metric(labels_, value)
    return family


def _waits(counted: Counted) -> Metric:
    in_each: Sequence[float] = [counted.get(f"{_WAIT} {bound}", 0.0) for bound in counts.BOUNDS]
    return HistogramMetricFamily(
        f"credits_{_WAIT}",
        "How long it took from a delivery to its credit.",
        buckets=list(zip(counts.BOUNDS, accumulate(in_each), strict=True)),
        sum_value=counted.get(counts.DELIVERY_TO_CREDIT_SECONDS_SUM, 0.0),
    )
