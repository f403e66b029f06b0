"""Erases the stored webhook bodies about a customer.

The ledger and the delivery records stay, because they account for money; they contain no names.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableSet, Sequence
from itertools import islice

from config.rules import NO_RULES
from workers.core.batches import in_batches
from workers.core.delivery import Delivery, Status
from workers.core.delivery_plans import plan_delivery
from workers.core.envelope import CUSTOMER_DELETED
from workers.core.forgetting import Forgotten, body_without_person
from workers.store.about_customer import claimers_of, settled_about
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.erasure import Erasure

MOST_READ = 10_000  # waiting bodies; to read them takes about a second
_AT_ONCE = 200


class CustomerEraser:
    """Finds and erases the stored bodies about one customer."""

    def __init__(self, erasure: Erasure, deliveries: DeliveryStore, audit: Audit) -> None:
        self._erasure = erasure
        self._deliveries = deliveries
        self._audit = audit

    def settled(self, customer_id: str, seen: MutableSet[str] | None = None) -> Iterator[Delivery]:
        """Yield the settled deliveries about a customer whose bodies are still stored, in no order.

        Adds those that it has looked at to ``seen``, which may be on disk.
        """
        claimers = claimers_of(self._audit, customer_id)
        found = settled_about(self._deliveries, customer_id, claimers, set() if seen is None else seen)
        return (one for one in found if one.erased_at is None)

    def waiting(self, customer_id: str) -> list[Delivery]:
        """Return the deliveries about a customer among the newest ``MOST_READ`` that wait.

        Each of those bodies is read: only a settled delivery is indexed by its customer.
        """
        return self.all_waiting([customer_id])[customer_id]

    def all_waiting(self, customer_ids: Iterable[str]) -> dict[str, list[Delivery]]:
        """Return ``waiting`` for several customers, by customer; reads each body once."""
        found: dict[str, list[Delivery]] = {customer_id: [] for customer_id in customer_ids}
        for one in islice(self._deliveries.newest([Status.WAITING]), MOST_READ):
            customer_id = self._customer_of(one)
            if customer_id in found:
                found[customer_id].append(one)
        return found

    def count_unread(self) -> int:
        """Return how many waiting deliveries are too old for ``waiting`` to read."""
        return max(0, self._deliveries.count_by_status()[Status.WAITING] - MOST_READ)

    def still_waiting(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Return those of ``deliveries`` that wait now."""
        ids = (one.id for one in deliveries)
        found = (one for some in in_batches(ids, _AT_ONCE) for one in self._deliveries.get(some))
        return list({one.id: one for one in found if one.status is Status.WAITING}.values())

    def erase(self, ids: Sequence[str]) -> list[str]:
        """Erase the bodies of these deliveries, except waiting ones; return the ids of those erased now."""
        return self._erasure.erase(ids)

    def rewrite_log(self) -> str:
        """Make Redis rewrite its append-only file without the erased bodies; return why it did not, or ""."""
        return self._erasure.rewrite_log()

    def _customer_of(self, delivery: Delivery) -> str:
        body = self._deliveries.body(delivery.id)
        return plan_delivery(delivery.type, body, NO_RULES).customer_id or ""


class DeletedCustomers:
    """Erases what is stored about customers whom Polar has deleted, as ``customer.deleted`` tells it."""

    def __init__(self, eraser: CustomerEraser, erasure: Erasure) -> None:
        self._eraser = eraser
        self._erasure = erasure

    def forget(self, deleted: Mapping[str, str]) -> dict[str, Forgotten]:
        """Erase the bodies about these customers; both maps are by the ids of the ``customer.deleted``.

        These deliveries wait, so they keep their bodies, but with nothing in them but the customer's id.
        """
        waiting = self._eraser.all_waiting(
            deleted.values()
        )  # first: one that settles meanwhile is found below
        unread = self._eraser.count_unread()
        return {
            delivery_id: self._forget(delivery_id, customer_id, waiting[customer_id], unread)
            for delivery_id, customer_id in deleted.items()
        }

    def _forget(
        self, delivery_id: str, customer_id: str, waiting: Sequence[Delivery], unread: int
    ) -> Forgotten:
        erased, waits = 0, {one.id: one for one in waiting}
        for some in in_batches(self._eraser.settled(customer_id), _AT_ONCE):
            erased += len(self._eraser.erase([one.id for one in some]))
            waits |= {one.id: one for one in self._eraser.still_waiting(some)}
        self._erasure.replace_body(delivery_id, body_without_person(customer_id))
        # Another customer.deleted of this customer takes care of its own body.
        left = [one for one in self._eraser.still_waiting(waits.values()) if one.type != CUSTOMER_DELETED]
        return Forgotten(erased=erased, waiting=len(left) + unread)
