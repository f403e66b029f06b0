"""Grants that Polar may have with another amount: which one to read back next, and what was read."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import cast

from msgspec import Struct
from redis import Redis

from workers.core.claims import Claim
from workers.core.confirmations import LONGEST_LAG, Reading
from workers.core.grants import Grant, grant_key
from workers.core.wording import plain
from workers.store import keys
from workers.store.clock import redis_now
from workers.store.counts import add_counts
from workers.store.ledger import Ledger
from workers.store.restoration_rows import reading_row
from workers.store.scripts import load_script, milliseconds_of

MISMATCH_ADVICE = "run credits rebuild, and the ledger takes Polar's amount"


class Mismatch(Struct, frozen=True, kw_only=True):
    """A grant with the ledger's credits, and in words what Polar has instead."""

    key: str
    ledger: Decimal
    polar: str

    def __str__(self) -> str:
        """Return the result in words, for operators."""
        return f"{self.key}: {plain(self.ledger)} in the ledger, {self.polar} at Polar"


# No grant is to be read back later than this.
_LATEST = LONGEST_LAG + timedelta(minutes=1)


class Doubts:
    """What is known about grants that Polar may have with other amounts."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count_unconfirmed(self) -> int:
        """Return how many grants are to be read back."""
        return int(self._redis.zcard(keys.UNCONFIRMED))

    def count_mismatches(self) -> int:
        """Return how many grants differ between Polar and the ledger."""
        return int(self._redis.hlen(keys.MISMATCHES))

    def mismatches(self, most: int) -> list[Mismatch]:
        """Return at most ``most`` of these grants, each with what Polar has instead."""
        found = islice(self._redis.hscan_iter(keys.MISMATCHES), most)
        return [_mismatch(*_split(name), text.decode()) for name, text in found]


class UnconfirmedStore:
    """The grants that are to be read back from Polar, in one Redis."""

    def __init__(self, redis: Redis, ledger: Ledger) -> None:
        self._redis = redis
        self._ledger = ledger
        self._write = redis.register_script(load_script("confirm"))

    def begin(self, *, at_most: timedelta) -> bool:
        """Begin to read one grant back; return False if another process is reading one."""
        return bool(self._redis.set(keys.CONFIRMING, 1, nx=True, px=at_most))

    def end(self) -> None:
        """Let any process read the next one."""
        self._redis.delete(keys.CONFIRMING)
        with self._ledger.tally.flush() as counts:  # the requests to Polar
            add_counts(self._redis, counts)

    def next_due(self) -> tuple[Claim, Grant] | None:
        """Return the grant that is to be read back now, with its claim; None if there is none."""
        while due := self._first_due():
            subject, meter = _split(due)
            claim = self._ledger.find(subject).own
            grants = claim.grants if claim and meter in claim.unconfirmed else ()
            for grant in grants:
                if claim and grant.meter == meter:
                    return claim, grant
            self._redis.zrem(keys.UNCONFIRMED, due)  # its claim is lost, or was confirmed meanwhile
        return None

    def write(self, readings: Sequence[Reading]) -> list[bool]:
        """Record what was read; return for each whether it is news that Polar has something else.

        A grant that was corrected after it was read is left as it is.
        """
        news = self._write(
            keys=[keys.UNCONFIRMED, keys.MISMATCHES, keys.DUE, keys.ALERTS],
            args=[
                keys.DELIVERY,
                keys.BODY,
                keys.DELIVERIES,
                json.dumps([reading_row(one) for one in readings]),
            ],
        )
        return [bool(one) for one in news]

    def now(self) -> datetime:
        """Return the time by the clock of Redis."""
        return redis_now(self._redis)

    def _first_due(self) -> bytes | None:
        now = self.now()
        # What is due later than it ever can be is due now: the clock was set back.
        for least, most in (("-inf", milliseconds_of(now)), (milliseconds_of(now + _LATEST), "+inf")):
            found = self._redis.zrangebyscore(keys.UNCONFIRMED, least, most, 0, 1)
            if due := cast(list[bytes], found):
                return due[0]
        return None


def _mismatch(subject: str, meter: str, text: str) -> Mismatch:
    ledger, _, polar = text.partition(" ")
    return Mismatch(key=grant_key(subject, meter), ledger=Decimal(ledger), polar=polar)


def _split(member: bytes) -> tuple[str, str]:
    subject, _, meter = member.decode().partition("\n")
    return subject, meter
