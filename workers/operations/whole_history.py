"""Finds all that is stored about a customer, and keeps it on disk: there may be 100,000 orders."""

from collections.abc import Collection, Iterable, Iterator, MutableSet
from itertools import chain

from msgspec import Struct, field

from workers.core.claims import Entry
from workers.core.delivery import Delivery
from workers.core.sums import MeterSums
from workers.operations.history import History, Totals, totals_of
from workers.operations.spool import Spool
from workers.store.about_customer import settled_about
from workers.store.audit import entries_of
from workers.store.scripts import milliseconds_of

_LAST_MS = 10**18


class WholeHistory(Struct, frozen=True, kw_only=True):
    """What is stored about one customer: deliveries oldest first, grants newest first."""

    customer_id: str
    deliveries: Collection[Delivery]
    entries: Collection[Entry]
    totals: Totals


def read_whole_history(history: History, customer_id: str) -> WholeHistory:
    """Return what is stored about a customer. It finds waiting deliveries only among the newest."""
    reading = _Reading(history=history, customer_id=customer_id)
    entries = Spool().sorted_list(reading.newest_entries(), _newest_first, Entry)
    return WholeHistory(
        customer_id=customer_id,
        deliveries=oldest_first(reading.deliveries()),
        entries=entries,
        totals=totals_of(reading.sums.by_meter),
    )


def oldest_first(deliveries: Iterable[Delivery]) -> Collection[Delivery]:
    """Return these deliveries in the order in which they were received, on disk."""
    return Spool().sorted_list(
        deliveries, lambda one: f"{milliseconds_of(one.received_at):020} {one.id}", Delivery
    )


class _Reading(Struct, frozen=True, kw_only=True):
    """Reads the ledger once, and notes which deliveries it names."""

    history: History
    customer_id: str
    sums: MeterSums = field(default_factory=MeterSums)
    claimers: MutableSet[str] = field(default_factory=lambda: Spool().set())

    def newest_entries(self) -> Iterator[Entry]:
        """Yield the grants of each fact, those of the newest fact first."""
        for standing in self.history.audit.newest_standings(self.customer_id):
            for one in reversed(list(entries_of(standing.claims))):
                self.claimers.add(one.delivery_id)
                self.sums.add(one)
                yield one

    def deliveries(self) -> Iterator[Delivery]:
        """Yield each delivery once, in no order."""
        seen = Spool().set()
        waiting = list(self.history.waiting_for(self.customer_id))
        for one in waiting:
            seen.add(one.id)
        return chain(waiting, settled_about(self.history.deliveries, self.customer_id, self.claimers, seen))


def _newest_first(one: Entry) -> str:
    return f"{_LAST_MS - milliseconds_of(one.granted_at or one.claimed_at):020}"
