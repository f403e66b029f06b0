"""Erases the stored webhook bodies about a customer.

The ledger and the delivery records stay, because they account for money; they contain no names.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from config.rules import NO_RULES
from workers.core.delivery import Delivery, Status
from workers.core.delivery_plans import plan_delivery
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.erasure import Erasure

MOST_READ = 10_000  # waiting bodies; to read them takes about a second


class CustomerEraser:
    """Finds and erases the stored bodies about one customer."""

    def __init__(self, erasure: Erasure, deliveries: DeliveryStore, audit: Audit) -> None:
        self._erasure = erasure
        self._deliveries = deliveries
        self._audit = audit

    def settled(self, customer_id: str) -> list[Delivery]:
        """Return the settled deliveries about a customer whose bodies are still stored, oldest first."""
        listed = self._erasure.listed_about(customer_id)
        claimed = {entry.delivery_id for entry in self._audit.of_customer(customer_id)}
        found = self._deliveries.get(sorted(claimed | listed))
        kept = [one for one in found if one.status is not Status.WAITING and one.erased_at is None]
        return sorted(kept, key=lambda one: one.received_at)

    def waiting(self, customer_id: str) -> list[Delivery]:
        """Return the deliveries about a customer among the newest ``MOST_READ`` that wait.

        Each of those bodies is read: only a settled delivery is indexed by its customer.
        """
        newest = islice(self._deliveries.newest([Status.WAITING]), MOST_READ)
        return [one for one in newest if self._is_about(customer_id, one)]

    def still_waiting(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Return those of ``deliveries`` that wait now."""
        found = self._deliveries.get(list(dict.fromkeys(one.id for one in deliveries)))
        return [one for one in found if one.status is Status.WAITING]

    def erase(self, ids: Sequence[str]) -> list[str]:
        """Erase the bodies of these deliveries, except waiting ones; return the ids of those erased now."""
        return self._erasure.erase(ids)

    def rewrite_log(self) -> str:
        """Make Redis rewrite its append-only file without the erased bodies; return why it did not, or ""."""
        return self._erasure.rewrite_log()

    def _is_about(self, customer_id: str, delivery: Delivery) -> bool:
        body = self._deliveries.body(delivery.id)
        plan = plan_delivery(delivery.type, body, NO_RULES).plan
        return plan is not None and plan.customer_id == customer_id
