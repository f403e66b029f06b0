"""Prometheus metrics of all processes together, read from Redis at each scrape.

Names and units follow https://prometheus.io/docs/practices/naming/. Reading them takes equally long, however
many deliveries there are or were.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import cast

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from workers.core.delivery import Status
from workers.core.envelope import stored_types
from workers.core.event_names import FAILED, GRANTED, TAKEN_BACK
from workers.monitoring.redis_metrics import redis_metrics
from workers.store import counts, keys
from workers.store.arrivals import arrivals
from workers.store.clock import redis_now
from workers.store.deliveries import DeliveryStore
from workers.store.endpoint_note import EndpointNotes
from workers.store.instalments import InstalmentQueue
from workers.store.outbox_view import OutboxView
from workers.store.queue import queue_length, workers_alive
from workers.store.throttle import Throttle

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The media type of what ``exposition`` returns."""

# After a full burst of requests, our share of the rate limit is whole again after this time.
_BUDGET_SECONDS = 60


_TYPES = (*sorted(stored_types(forgets_deleted=True)), "unreadable")
_STORED = tuple((type_, disposition) for type_ in _TYPES for disposition in ("accepted", "duplicate"))


class Count(Struct, frozen=True, kw_only=True):
    """A counter. Its ``known`` label values begin at zero, so that an alert sees the first increase."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()


COUNTS = (
    Count(
        name=counts.WEBHOOKS,
        help="Webhooks with a valid signature, by type and by what the receiver did.",
        labels=("type", "disposition"),
        known=(*_STORED, ("other", "ignored")),
    ),
    Count(
        name=counts.REJECTED_REQUESTS,
        help="Requests that the receiver answered with an error, by reason.",
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
        help="Deliveries that were settled, by status; a replayed delivery counts again.",
        labels=("status",),
        known=tuple((status.value,) for status in Status if status is not Status.WAITING),
    ),
    Count(name=counts.RETRIES, help="Deliveries that were postponed for another attempt.", known=((),)),
    Count(
        name=counts.LOST_CLAIMS,
        help="Deliveries that were claimed again, because Redis came back without their claims.",
        known=((),),
    ),
    Count(name=counts.GRANTS, help="Grants and take-backs that Polar has confirmed.", labels=("meter",)),
    Count(name=counts.GRANTED_UNITS, help="Credits granted, as Polar has confirmed.", labels=("meter",)),
    Count(
        name=counts.TAKEN_BACK_UNITS, help="Credits taken back, as Polar has confirmed.", labels=("meter",)
    ),
    Count(
        name=counts.POLAR_REQUESTS,
        help="Requests to Polar, by the status of the answer; none if there was no answer.",
        labels=("status",),
    ),
    Count(
        name=counts.CREDIT_EVENTS_SENT,
        help="Credit events that the storefront has taken, by type.",
        labels=("type",),
        known=((GRANTED,), (TAKEN_BACK,), (FAILED,)),
    ),
    Count(
        name=counts.CREDIT_EVENTS_REFUSED,
        help="Attempts to send a credit event that the storefront refused, or did not answer.",
        known=((),),
    ),
    Count(
        name=counts.CREDIT_EVENTS_GIVEN_UP,
        help="Credit events that are not sent any more.",
        known=((),),
    ),
)

_LATENCY = counts.DELIVERY_TO_CREDIT_SECONDS

Counted = Mapping[str, float]


def exposition(redis: Redis) -> bytes:
    """Return the metrics in Prometheus's text format; raises RedisError if Redis does not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_RedisCollector(redis, redis_now(redis)))
    return generate_latest(registry)


class _RedisCollector(Collector):
    """Collects the metrics of the whole service: every receiver reports the same numbers."""

    def __init__(self, redis: Redis, now: datetime) -> None:
        self._redis = redis
        self._now = now

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering the collector does not ask Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield self._stored()
        for name, help_text, value in self._gauges():
            yield GaugeMetricFamily(f"credits_{name}", help_text, value=value)
        yield from redis_metrics(self._redis)
        found = cast(dict[bytes, bytes], self._redis.hgetall(keys.COUNTS))
        counted = {name.decode(): float(value) for name, value in found.items()}
        for count in COUNTS:
            yield _counter(count, counted)
        yield _latency(counted)

    def _stored(self) -> Metric:
        help_text = "Deliveries in the store, by status."
        stored = GaugeMetricFamily("credits_stored_deliveries", help_text, labels=["status"])
        for status, count in DeliveryStore(self._redis).count_by_status().items():
            stored.add_metric([status.value], count)
        return stored

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        throttle = Throttle(self._redis)
        oldest = DeliveryStore(self._redis).oldest_waiting()
        outage, pause = throttle.outage(), throttle.current_pause()
        away_since = outage.since if outage else None
        left = pause.left.total_seconds() if pause else 0.0
        yield "oldest_waiting_seconds", "How long the oldest delivery has been waiting.", self._age(oldest)
        yield "polar_outage_seconds", "How long Polar has accepted nothing.", self._age(away_since)
        yield "polar_pause_remaining_seconds", "How long until Polar is asked again.", left
        yield "polar_rate_limit_used_ratio", "Used part of our share of Polar's rate limit.", self._used()
        backoff = throttle.reduced_for().total_seconds()
        yield (
            "polar_backoff_remaining_seconds",
            "How long the workers still use less than their share, after a 429.",
            backoff,
        )
        yield (
            "unconfirmed_grants",
            "Grants to be read back from Polar, which may have other amounts.",
            self._redis.zcard(keys.UNCONFIRMED),
        )
        yield (
            "mismatched_grants",
            "Grants of which Polar has another amount than the ledger, or none.",
            self._redis.hlen(keys.MISMATCHES),
        )
        yield (
            "ledger_lost",
            "1 from when a loss of entries in Redis is noticed until `credits rebuild` has run, else 0.",
            self._redis.exists(keys.LOST),
        )
        came = arrivals(self._redis)
        yield (
            "refused_webhooks",
            "Webhooks that look like Polar's and were refused since the last valid one.",
            came.refused,
        )
        yield (
            "seconds_since_last_webhook",
            "How long no webhook with a valid signature has come; 0 if none ever came.",
            came.silence.total_seconds() if came.silence else 0.0,
        )
        yield (
            "instalments_due",
            "Later instalments of orders that are due and not settled.",
            InstalmentQueue(self._redis).count_due(),
        )
        problem, _ = EndpointNotes(self._redis).read()
        yield (
            "endpoint_broken",
            "1 if the endpoint at Polar does not send what is needed, else 0.",
            bool(problem),
        )
        yield from self._outbox()
        yield "workers", "Workers that are alive.", workers_alive(self._redis)
        yield "queued_jobs", "RQ jobs in our queue.", queue_length(self._redis)

    def _outbox(self) -> Iterator[tuple[str, str, float]]:
        state = OutboxView(self._redis).state()
        yield "waiting_credit_events", "Credit events that the storefront has not taken yet.", state.waiting
        yield (
            "oldest_credit_event_seconds",
            "How long the oldest of them has been due, or refused.",
            self._age(state.oldest),
        )
        yield (
            "given_up_credit_events",
            "Credit events that are kept, and not sent any more; at most 10,000.",
            state.given_up,
        )

    def _age(self, since: datetime | None) -> float:
        return max(0.0, (self._now - since).total_seconds()) if since else 0.0

    def _used(self) -> float:
        left_ms = self._redis.pttl(keys.BUDGET)  # negative if the key does not exist
        return min(1.0, max(0, left_ms) / (_BUDGET_SECONDS * 1000))


def _counter(count: Count, counted: Counted) -> Metric:
    family = CounterMetricFamily(f"credits_{count.name}", count.help, labels=count.labels)
    samples = dict.fromkeys(count.known, 0.0)
    for name, value in counted.items():
        counted_name, *labels = name.split(" ", len(count.labels))
        if counted_name == count.name:
            samples[tuple(labels)] = value
    for labels_, value in sorted(samples.items()):
        family.add_metric(labels_, value)
    return family


def _latency(counted: Counted) -> Metric:
    per_bucket: Sequence[float] = [counted.get(f"{_LATENCY} {bound}", 0.0) for bound in counts.BOUNDS]
    return HistogramMetricFamily(
        f"credits_{_LATENCY}",
        "Time from a delivery's arrival to Polar's confirmation of its credit.",
        buckets=list(zip(counts.BOUNDS, accumulate(per_bucket), strict=True)),
        sum_value=counted.get(counts.DELIVERY_TO_CREDIT_SECONDS_SUM, 0.0),
    )
