"""Counts what happened: each process keeps its counts until it can add them to those in Redis.

A script counts in the same step what it does itself. Processes and scripts use the names below. A field of
``keys.COUNTS`` is a name and its labels, separated by spaces. To add a metric, add its name here and describe
it in ``workers.monitoring.metrics``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from redis import Redis

from workers.store import keys

WEBHOOKS = "webhooks"  # type, disposition
REJECTED_REQUESTS = "rejected_requests"  # reason
OUTCOMES = "outcomes"  # status
RETRIES = "retries"
LOST_CLAIMS = "lost_claims"
GRANTS = "grants"  # meter
GRANTED_UNITS = "granted_units"  # meter
TAKEN_BACK_UNITS = "taken_back_units"  # meter
POLAR_REQUESTS = "polar_requests"  # status
CREDIT_EVENTS_SENT = "credit_events_sent"  # type
CREDIT_EVENTS_REFUSED = "credit_events_refused"
CREDIT_EVENTS_GIVEN_UP = "credit_events_given_up"
DELIVERY_TO_CREDIT_SECONDS = "delivery_to_credit_seconds"  # bound
DELIVERY_TO_CREDIT_SECONDS_SUM = "delivery_to_credit_seconds_sum"

NAMES = frozenset(
    {
        WEBHOOKS,
        REJECTED_REQUESTS,
        OUTCOMES,
        RETRIES,
        LOST_CLAIMS,
        GRANTS,
        GRANTED_UNITS,
        TAKEN_BACK_UNITS,
        POLAR_REQUESTS,
        CREDIT_EVENTS_SENT,
        CREDIT_EVENTS_REFUSED,
        CREDIT_EVENTS_GIVEN_UP,
        DELIVERY_TO_CREDIT_SECONDS,
        DELIVERY_TO_CREDIT_SECONDS_SUM,
    }
)

# Counted for each day alone (see workers.store.days), so they are no metrics.
GIVEN_BY_RULE = "given_by_rule"  # rule, meter
MOST_USED_MS = "most_used_ms"

NAMES_BY_DAY = frozenset({GIVEN_BY_RULE, MOST_USED_MS})

# The buckets of DELIVERY_TO_CREDIT_SECONDS. A worker wakes within 0.1 s, and Polar answers within 0.5 s. The
# deliveries of a killed worker are taken over within a minute. After 300 s an alert is sent.
BOUNDS = ("0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "300", "3600", "+Inf")


class Tally:
    """Counts that are not in Redis yet. Threads share one tally: a worker asks Polar while it settles."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def add(self, name: str, *labels: str) -> None:
        """Count one; only the last label may contain spaces."""
        with self._lock:
            self._counts[" ".join([name, *labels])] += 1

    @contextmanager
    def flush(self) -> Iterator[Mapping[str, int]]:
        """Yield the counts to be written; if the block fails, they are kept for the next time."""
        with self._lock:
            flushed, self._counts = self._counts, Counter()
        try:
            yield flushed
        except BaseException:
            with self._lock:
                self._counts += flushed
            raise


def add_counts(redis: Redis, counts: Mapping[str, int]) -> None:
    """Add ``counts`` to those in Redis: all of them, or none."""
    if not counts:
        return
    pipeline = redis.pipeline()
    for name, count in counts.items():
        pipeline.hincrby(keys.COUNTS, name, count)
    pipeline.execute()
