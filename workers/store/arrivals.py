"""When the last valid webhook came, and how many were refused since: receivers note it, others read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct
from redis import Redis

from config.durations import format_duration
from config.wording import format_count
from workers.store import keys
from workers.store.clock import redis_now
from workers.store.scripts import load_script, moment_of

# Fewer may be a stranger's, or the end of a rotation of the secret.
_FEWEST = 3
# Polar tries each webhook for about half an hour: this is time to notice a change that one is making.
_TOLERATED = timedelta(minutes=10)
_LONGEST_SILENCE = timedelta(days=1)

TO_DO = "run credits check: it compares the secret, the URL and the clock"


class Arrivals(Struct, frozen=True, kw_only=True):
    """What is known of the webhooks that came, at the moment ``now`` of Redis's clock."""

    now: datetime
    last_at: datetime | None = None
    refused: int = 0
    refused_since: datetime | None = None
    reason: str = ""

    @property
    def silence(self) -> timedelta | None:
        """Return how long no valid webhook has come; None if none ever came."""
        return None if self.last_at is None else max(timedelta(0), self.now - self.last_at)

    @property
    def are_refused(self) -> bool:
        """Return whether every webhook is refused that looks like Polar's."""
        return self.refused >= _FEWEST

    @property
    def problem(self) -> str:
        """Return the text of the alert if every webhook has been refused for a while; else nothing."""
        lasts = self.refused_since is not None and self.now - self.refused_since >= _TOLERATED
        return self.describe() if self.are_refused and lasts else ""

    def describe(self) -> str:
        """Return one line for operators, with the next command to run if something is wrong."""
        if self.refused:
            since = max(timedelta(0), self.now - (self.refused_since or self.now))
            count = format_count(self.refused, "webhook")
            text = f"{count} refused in {format_duration(since)} and none accepted: {self.reason}"
            return f"{text}; {TO_DO}" if self.are_refused else text
        if self.silence is None:
            return "none yet"
        text = f"the last one came {format_duration(self.silence)} ago"
        is_long = self.silence > _LONGEST_SILENCE
        return f"{text}; credits check shows whether Polar still sends them" if is_long else text


def arrivals(redis: Redis) -> Arrivals:
    """Return what the receivers have noted."""
    found = cast(dict[bytes, bytes], redis.hgetall(keys.WEBHOOKS))
    return read_arrivals({name.decode(): value.decode() for name, value in found.items()}, redis_now(redis))


def read_arrivals(noted: dict[str, str], now: datetime) -> Arrivals:
    """Return what a hash of notes says."""
    moments = {name: moment_of(noted[name]) for name in ("last_at", "refused_since") if name in noted}
    return Arrivals(now=now, refused=int(noted.get("refused", 0)), reason=noted.get("reason", ""), **moments)


class ArrivalNotes:
    """What a receiver has to note, until it can write that to Redis. Only its event loop changes this."""

    def __init__(self) -> None:
        self._is_valid, self._refused, self._reason = False, 0, ""

    def add_valid(self) -> None:
        """Note a webhook with a valid signature; earlier refusals no longer matter then."""
        self._is_valid, self._refused = True, 0

    def add_refused(self, reason: str) -> None:
        """Note one that looks like Polar's and was refused; ``reason`` is one of our own few phrases."""
        self._refused, self._reason = self._refused + 1, reason

    @contextmanager
    def flush(self) -> Iterator[tuple[bool, int, str]]:
        """Yield what is to be written; if the block fails, it is kept for the next time."""
        flushed = self._is_valid, self._refused, self._reason
        self._is_valid, self._refused = False, 0
        try:
            yield flushed
        except BaseException:
            if not self._is_valid:
                self._is_valid, self._refused = flushed[0], flushed[1] + self._refused
            raise


def note_arrivals(redis: Redis, note: tuple[bool, int, str]) -> None:
    """Write whether a valid webhook came, how many were refused after it, and why."""
    is_valid, refused, reason = note
    if is_valid or refused:
        script = redis.register_script(load_script("note_webhooks"))
        script(keys=[keys.WEBHOOKS], args=[int(is_valid), refused, reason])
