"""Reads the ledger as a list of grants: the newest, an order's, or a customer's; never the whole ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

from redis import Redis

from workers.core.claims import Claim, Entry, Standing
from workers.core.grants import order_subject
from workers.core.sums import MeterSum, MeterSums, SummedMeter
from workers.store import keys
from workers.store.ledger import Ledger
from workers.store.ledger_hashes import decoded, read_claim
from workers.store.scripts import load_script, milliseconds_of

_PAGE = 200
_SUMMED = 200  # facts that one script adds up: some five milliseconds, in which Redis serves nobody else

OnRead = Callable[[int], object]
"""Called with how many of a customer's facts have been read."""


def ignore_reading(_read: int) -> None:
    """Do nothing."""


class Audit:
    """The grants in the ledger, read page by page."""

    def __init__(self, redis: Redis, ledger: Ledger) -> None:
        self._redis = redis
        self._ledger = ledger
        self._list = redis.register_script(load_script("list_audit"))
        self._list_facts = redis.register_script(load_script("list_customer_facts"))
        self._sum = redis.register_script(load_script("sum_customer"))

    def newest(self, *, since: datetime | None = None) -> Iterator[Entry]:
        """Yield the grants that Polar accepted at ``since`` or later, newest first.

        Restored grants are listed where `rebuild` added them to the audit trail, with their own times.
        """
        last, first = "", "-" if since is None else str(milliseconds_of(since))
        while page := self._page(last, first):
            subjects = dict.fromkeys(subject for _, subject, _ in page)
            standings = zip(subjects, self._ledger.find_many(list(subjects)), strict=True)
            claims = {subject: standing.own for subject, standing in standings}
            for _, subject, meter in page:
                if claim := claims[subject]:
                    yield from (one for one in entries_of([claim]) if one.is_of(meter, since))
            last = page[-1][0]

    def of_order(self, order_id: str) -> list[Entry]:
        """Return all grants and take-backs of an order, newest first."""
        return newest_first(self._ledger.find(order_subject(order_id)).claims)

    def of_customer(self, customer_id: str) -> list[Entry]:
        """Return all grants and take-backs of a customer, newest first.

        A take-back is found only by its order, which may be old. So all facts of the customer are read.
        """
        return newest_first(claim for standing in self.standings_of(customer_id) for claim in standing.claims)

    def newest_of_customer(self, customer_id: str, most_facts: int) -> tuple[list[Entry], bool]:
        """Return what belongs to a customer's newest facts, newest first, and whether there are older facts.

        Unlike ``of_customer`` it takes the same time for every customer. What is missing are recent
        take-backs of older orders.
        """
        found, has_older = self.newest_standings_of(customer_id, most_facts)
        return newest_first(claim for one in found for claim in one.claims), has_older

    def newest_standings_of(self, customer_id: str, most: int) -> tuple[list[Standing], bool]:
        """Return what the ledger has for a customer's newest facts, the oldest first.

        Also returns whether there are older facts.
        """
        found = self.standings_of(customer_id, most + 1)
        has_older = len(found) > most
        return found[has_older:], has_older

    def sums_of_customer(
        self, customer_id: str, on_read: OnRead = ignore_reading
    ) -> Mapping[SummedMeter, MeterSum]:
        """Return the sums of all grants and take-backs of a customer; few of them are in memory at a time.

        Redis counts those that are alike: a hundred thousand facts take about three seconds.
        """
        sums = MeterSums()
        read, after, met, page = 0, "", "", 0
        while page == 0 or after:
            page += 1
            count, after, alike = self._sum(
                keys=[keys.CUSTOMERS], args=[customer_id, after, _SUMMED, met, keys.CHAIN]
            )
            for times, flat in alike:
                for one in entries_of([read_claim("", decoded(flat))]):
                    sums.add(one, times)
            if page.bit_count() == 1:  # 1, 2, 4, 8, …: one of these is in a loop, if the chain has one
                met = after
            read += count
            on_read(read)
        return sums.by_meter

    def page_of_customer(self, customer_id: str, after: str, most: int) -> tuple[list[Standing], str | None]:
        """Return what the ledger has for some of a customer's facts, the newest first.

        The page begins behind the fact ``after``, or with the newest one if that is "". Also returns behind
        which fact the next page begins; None if this one is the last.
        """
        facts = self._facts(customer_id, after, most + 1)
        return self._ledger.find_many(facts[:most]), facts[most - 1] if len(facts) > most else None

    def standings_of(self, customer_id: str, most: int | None = None) -> list[Standing]:
        """Return what the ledger has for each fact of a customer, or the newest ones, the oldest first."""
        return list(islice(self.newest_standings(customer_id), most))[::-1]

    def newest_standings(self, customer_id: str) -> Iterator[Standing]:
        """Yield what the ledger has for each fact of a customer, the newest first, as it is read."""
        after, seen = "", set[str]()
        while subjects := [one for one in self._facts(customer_id, after, _PAGE) if one not in seen]:
            yield from self._ledger.find_many(subjects)
            # The chain has no loop unless somebody has edited the ledger; then `seen` ends it.
            seen.update(subjects)
            after = subjects[-1]

    def _page(self, last: str, first: str) -> list[tuple[str, str, str]]:
        """Return ids, subjects and meters from the audit trail, newest first, those older than ``last``."""
        rows = self._list(keys=[keys.AUDIT], args=[last, first, _PAGE])
        return [(id_.decode(), subject.decode(), meter.decode()) for id_, subject, meter in rows]

    def _facts(self, customer_id: str, after: str, most: int) -> list[str]:
        subjects = self._list_facts(keys=[keys.CUSTOMERS], args=[customer_id, after, most])
        return list(dict.fromkeys(subject.decode() for subject in subjects))


def newest_first(claims: Iterable[Claim]) -> list[Entry]:
    """Sort the grants of ``claims`` by when Polar accepted them, else by their claim.

    The later claim wins a tie.
    """
    return sorted(entries_of(claims), key=lambda one: one.granted_at or one.claimed_at)[::-1]


def entries_of(claims: Iterable[Claim]) -> Iterator[Entry]:
    """Yield the grants of ``claims``, one by one."""
    for claim in claims:
        for grant in claim.grants:
            yield Entry(
                grant=grant,
                delivery_id=claim.delivery_id,
                claimed_at=claim.claimed_at,
                granted_at=claim.settled.get(grant.meter),
            )
