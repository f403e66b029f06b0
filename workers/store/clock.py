"""The clock of Redis, from which every stored time comes: what it says, and what to do when it steps.

If somebody sets it, or a replica with another clock takes over, all stored times are wrong by the same
amount. A worker notices that by its own steady clock, and moves them by as much.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace
from redis import Redis
from redis.exceptions import RedisError
from redis.typing import EncodableT

from config.durations import format_duration
from config.log import get_log
from workers.core.clocks import Reading, step_between, unseen_step
from workers.core.delivery import Status
from workers.store import keys
from workers.store.scripts import load_script

_NOTE_SECONDS = 60
_NOTED_SECONDS = 86_400

log = get_log(__name__)

# It goes on while the host sleeps, as Redis's clock does; not every system has such a clock.
_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def redis_now(redis: Redis) -> datetime:
    """Return the time by the clock of Redis."""
    return _moment(redis.time())


def clock_ahead(redis: Redis) -> timedelta:
    """Return how far this host's clock is ahead of Redis's; negative if it is behind."""
    before = datetime.now(UTC)
    answer = redis.time()
    return difference(before, datetime.now(UTC), answer)


def difference(before: datetime, after: datetime, answer: tuple[int, int]) -> timedelta:
    """Return how far this host's clock is ahead, if Redis gave this answer to TIME between two moments."""
    return before + (after - before) / 2 - _moment(answer)


def _moment(answer: tuple[int, int]) -> datetime:
    seconds, microseconds = answer
    return datetime.fromtimestamp(seconds, tz=UTC) + timedelta(microseconds=microseconds)


class PolarClock:
    """Tells receivers, which never ask Polar, how far Redis's clock is from Polar's."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._next_note = float("-inf")

    def note(self, ahead: timedelta) -> None:
        """Store that this host's clock is ahead of Polar's by ``ahead``; at most once a minute."""
        if time.monotonic() < self._next_note:
            return
        self._next_note = time.monotonic() + _NOTE_SECONDS
        with suppress(RedisError, OSError):  # the next answer of Polar's tells it as well
            self.write(ahead)

    def write(self, ahead: timedelta) -> None:
        """Store that this host's clock is ahead of Polar's by ``ahead``."""
        ahead_ms = round((ahead - clock_ahead(self._redis)).total_seconds() * 1000)
        self._redis.set(keys.POLAR_CLOCK, ahead_ms, ex=_NOTED_SECONDS)

    def is_noted(self) -> bool:
        """Return whether a worker has asked Polar lately, and the clock of Redis has not stepped since."""
        return bool(self._redis.exists(keys.POLAR_CLOCK))

    def ahead(self) -> timedelta | None:
        """Return how far this host's clock is ahead of Polar's; None if no worker has asked Polar lately."""
        noted = self._redis.get(keys.POLAR_CLOCK)
        return None if noted is None else clock_ahead(self._redis) + timedelta(milliseconds=int(noted))


class ClockWatch:
    """One worker's watch on the clock of Redis, which it compares from tick to tick."""

    def __init__(
        self,
        redis: Redis,
        steady_seconds: Callable[[], float] = lambda: time.clock_gettime(_STEADY_CLOCK),
    ) -> None:
        self._steady_seconds = steady_seconds
        self._mend = redis.register_script(load_script("mend_step"))
        self._last: Reading | None = None

    def compare(self, tick: Callable[[], Sequence[bytes]]) -> bool:
        """Run ``tick``, which returns what tick.lua does; return whether the clock has stepped before it.

        Of all workers, the one that mends the step says so.
        """
        before = self._steady_seconds()
        now, latest, steps = map(int, tick())
        reading = Reading(
            now_ms=now,
            last_ms=latest,
            steps=steps,
            before_ms=before * 1000,
            after_ms=self._steady_seconds() * 1000,
        )
        last = self._last
        seen_ms = step_between(last, reading) if last else 0.0
        step_ms = seen_ms or unseen_step(reading)
        is_mended = last is not None and reading.steps > last.steps  # by another worker, since our last tick
        if step_ms and not is_mended:
            # If the clock went there and back while we ran, only what was stored meanwhile is wrong.
            is_past_wrong = bool(seen_ms) or last is None
            # If this fails, the next tick finds the step again.
            self._mend_step(step_ms, reading.steps, is_past_wrong=is_past_wrong)
            reading = replace(reading, steps=reading.steps + 1)
        self._last = reading
        return bool(step_ms)

    def _mend_step(self, step_ms: float, steps: int, *, is_past_wrong: bool) -> None:
        scores = [
            keys.DUE,
            keys.deliveries(Status.WAITING),
            keys.UNCONFIRMED,
            keys.OUTBOX,
            keys.OUTBOX_REFUSED,
        ]
        lifetimes = [
            keys.BUDGET,
            keys.REDUCED_SHARE,
            keys.PAUSE,
            keys.PROBE,
            keys.RECONCILED,
            keys.CONFIRMING,
            keys.COMPARED,
            keys.ENDPOINT_LOOK,
        ]
        args: list[EncodableT] = [round(step_ms), steps, keys.DELIVERY, int(is_past_wrong)]
        others = [keys.CLOCK, keys.POLAR_CLOCK, keys.BEGAN, *scores, keys.WATCH, keys.OUTAGE, keys.WEBHOOKS]
        if self._mend(keys=[*others, *lifetimes], args=args):
            by = format_duration(timedelta(milliseconds=abs(step_ms)))
            if step_ms > 0:
                log.warning("the clock of Redis stepped forward", by=by)
            else:
                log.warning("the clock of Redis stepped back", by=by)
