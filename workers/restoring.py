"""Reads our own events back from Polar into the ledger, after its Redis was lost."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from redis import Redis

from config.rules import Rules
from workers import entries, keys
from workers.grants import GRANTED_BY
from workers.ledger import Ledger
from workers.lists import Page, events
from workers.polar import Polar
from workers.rebuilding import REBUILD, Rebuilding, Restoration, restoration
from workers.records import Standing, milliseconds_of
from workers.refunds import take_back
from workers.scopes import needs
from workers.scripts import lua
from workers.turns import Turns

_AT_ONCE = 200  # while a script runs, everybody waits

# Its clock and ours may differ: no event of these minutes may be missed.
_LATER = timedelta(days=1)

Tell = Callable[[int, int], object]
"""Is told how many of how many are done."""


@dataclass(kw_only=True)
class Restored:
    """What came of it."""

    grants: int = 0
    changed: list[str] = field(default_factory=list)
    """Facts that somebody has claimed, or taken back, meanwhile: a second rebuild looks again."""
    untaken: list[str] = field(default_factory=list)
    """Facts of which a refund was told before they were restored: it has taken nothing yet."""


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """Finds at Polar what the ledger lacks, and writes it down."""

    redis: Redis
    ledger: Ledger
    polar: Polar
    turns: Turns

    def look(self, rules: Rules, *, now: datetime, tell: Tell) -> Rebuilding:
        """Read all events of ours, and find those that the ledger lacks; touches nothing."""
        found = Rebuilding(rules=rules)
        for page in self._pages(now):
            found.add(page.items, self._standings)
            tell(found.read, page.total)
        found.leave_groundless(self._standings)
        return found

    def restore(self, found: Rebuilding, *, tell: Tell) -> Restored:
        """Write down what is missing, oldest first; what is claimed meanwhile is left alone."""
        done, facts = Restored(), list(found.missing)
        for start in range(0, len(facts), _AT_ONCE):
            some = facts[start : start + _AT_ONCE]
            self._write(some, found, done)
            tell(start + len(some), len(facts))
        self.tell_trail()
        return done

    def _write(self, facts: Sequence[str], found: Rebuilding, done: Restored) -> None:
        standings = self._standings(facts)
        rows = [
            _row(restoration(fact, found.missing[fact].values(), standing, found.rules))
            for fact, standing in zip(facts, standings, strict=True)
        ]
        script = self.redis.register_script(lua("restore"))
        written = script(keys=[keys.CUSTOMERS, keys.RESTORED], args=[REBUILD, json.dumps(rows)])
        for fact, is_whole in zip(facts, written, strict=True):
            if is_whole:
                done.grants += len(found.missing[fact])
            else:
                done.changed.append(fact)
        done.untaken += self._untaken(standings)

    def _pages(self, now: datetime) -> Iterator[Page]:
        listing = events(metadata={"granted_by": GRANTED_BY}, before=now + _LATER)
        with needs("events:read"):
            yield from self.turns.read(self.polar, listing)

    def _standings(self, subjects: Sequence[str]) -> list[Standing]:
        batches = (subjects[start : start + _AT_ONCE] for start in range(0, len(subjects), _AT_ONCE))
        return [standing for some in batches for standing in self.ledger.find_all(some)]

    def _untaken(self, before: Sequence[Standing]) -> list[str]:
        """Return the facts whose refunds, noted while they were not credited, have something to take now."""
        noted = [standing.subject for standing in before if standing.refund]
        return [one.subject for one in self._standings(noted) if take_back(one, REBUILD)]

    def tell_trail(self) -> None:
        """Put what was restored into the audit trail: by this rebuild, and by one that was killed."""
        script = self.redis.register_script(lua("trail"))
        while script(keys=[keys.RESTORED, keys.AUDIT], args=[_AT_ONCE]):
            pass


def _row(one: Restoration) -> list[object]:
    """Return a restoration as ``restore.lua`` reads it."""
    oldest = min(moment for meters in one.times.values() for moment in meters.values())
    times = [
        [
            subject,
            str(milliseconds_of(min(meters.values(), default=oldest))),
            [[meter, str(milliseconds_of(moment))] for meter, moment in meters.items()],
        ]
        for subject, meters in one.times.items()
    ]
    claim = entries.claim_row(REBUILD, one.plan, None)
    return [one.claimed_by, claim, [entries.take_back_row(each) for each in one.taken], times]
