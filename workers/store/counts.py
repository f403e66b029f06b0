"""What happened, counted: in a process until Redis has it, where the counts of all processes add up.

What the scripts see they count themselves, in the same step. A count's name is a field of ``keys.COUNTS``:
what is counted, then its labels.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from redis import Redis

from workers.store import keys

# Seconds from a delivery to its credit. A worker is woken in a tenth, Polar answers in a half; who was killed
# is replaced within a minute; after 300 s people are told.
BOUNDS = ("0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "300", "3600", "+Inf")


class Tally:
    """Counts that Redis does not have yet; of all threads, as a worker asks Polar beside settling."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def add(self, *names: str) -> None:
        """Count one; none but the last of ``names`` may hold spaces."""
        with self._lock:
            self._counts[" ".join(names)] += 1

    @contextmanager
    def flush(self) -> Iterator[Mapping[str, int]]:
        """Yield the counts to be written down; where that fails, they are kept for the next time."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        try:
            yield taken
        except BaseException:
            with self._lock:
                self._counts += taken
            raise


def add_counts(redis: Redis, counts: Mapping[str, int]) -> None:
    """Add ``counts`` to those in Redis, all or none."""
    if not counts:
        return
    pipeline = redis.pipeline()
    for name, count in counts.items():
        pipeline.hincrby(keys.COUNTS, name, count)
    pipeline.execute()
