"""Lists the instalments of orders that are to come: the soonest, an order's, or a customer's."""

from redis import Redis

from workers.core.grants import order_subject
from workers.core.upcoming import Upcoming, upcoming
from workers.store.audit import Audit
from workers.store.instalments import InstalmentQueue
from workers.store.ledger import Ledger


class UpcomingReader:
    """Reads what the ledger says of instalments to come."""

    def __init__(self, redis: Redis, ledger: Ledger) -> None:
        self._queue = InstalmentQueue(redis)
        self._audit = Audit(redis, ledger)
        self._ledger = ledger

    def soonest(self, most: int) -> list[Upcoming]:
        """Return the next instalment of up to ``most`` orders and meters, the soonest first."""
        members = self._queue.soonest(most)
        standings = self._ledger.find_many([order_subject(one.order_id) for one in members])
        return [
            found
            for one, standing in zip(members, standings, strict=True)
            for found in upcoming(standing)
            if (found.number, found.grant.meter) == (one.number, one.meter)
        ]

    def of_order(self, order_id: str) -> list[Upcoming]:
        """Return all instalments of an order that are to come, the next first."""
        return list(upcoming(self._ledger.find(order_subject(order_id))))

    def of_customer(self, customer_id: str, most_facts: int) -> tuple[list[Upcoming], bool]:
        """Return the instalments to come of a customer's newest facts, the next first.

        Also returns whether there are older facts, which are not looked at.
        """
        standings, has_older = self._audit.newest_standings_of(customer_id, most_facts)
        found = (one for standing in standings for one in upcoming(standing))
        return sorted(found, key=lambda one: one.at), has_older
