"""Reads the ledger as a list of grants: the newest, an order's, or a customer's; never the whole ledger."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from redis import Redis

from workers.core.claims import Claim, Entry, Standing
from workers.core.grants import order_subject
from workers.store import keys
from workers.store.ledger import Ledger
from workers.store.scripts import load_script, milliseconds_of

_PAGE = 200


class Audit:
    """The grants in the ledger, read page by page."""

    def __init__(self, redis: Redis, ledger: Ledger) -> None:
        self._redis = redis
        self._ledger = ledger
        self._list = redis.register_script(load_script("list_audit"))
        self._list_facts = redis.register_script(load_script("list_customer_facts"))

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

    def page_of_customer(self, customer_id: str, after: str, most: int) -> tuple[list[Standing], str | None]:
        """Return what the ledger has for some of a customer's facts, the newest first.

        The page begins behind the fact ``after``, or with the newest one if that is "". Also returns behind
        which fact the next page begins; None if this one is the last.
        """
        facts = self._facts(customer_id, after, most + 1)
        return self._ledger.find_many(facts[:most]), facts[most - 1] if len(facts) > most else None

    def standings_of(self, customer_id: str) -> list[Standing]:
        """Return what the ledger has for each fact of a customer, the oldest first."""
        found: list[Standing] = []
        after, seen = "", set[str]()
        while subjects := [one for one in self._facts(customer_id, after, _PAGE) if one not in seen]:
            found += self._ledger.find_many(subjects)
            # The chain has no loop unless somebody has edited the ledger; then `seen` ends it.
            seen.update(subjects)
            after = subjects[-1]
        return found[::-1]

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
