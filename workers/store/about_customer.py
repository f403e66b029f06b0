"""Finds the settled deliveries about a customer; there may be a hundred thousand."""

from collections.abc import Iterable, Iterator, MutableSet
from itertools import chain

from workers.core.batches import in_batches
from workers.core.delivery import Delivery, Status
from workers.store.audit import Audit, entries_of
from workers.store.deliveries import DeliveryStore

_AT_ONCE = 200


def claimers_of(audit: Audit, customer_id: str) -> Iterator[str]:
    """Yield the ids of the deliveries that the ledger names for a customer, some more than once."""
    for standing in audit.newest_standings(customer_id):
        yield from (one.delivery_id for one in entries_of(standing.claims))


def settled_about(
    deliveries: DeliveryStore, customer_id: str, claimers: Iterable[str], seen: MutableSet[str]
) -> Iterator[Delivery]:
    """Yield the settled deliveries about a customer, in no order, except those that were ``seen``.

    ``claimers`` are those that the ledger names. All that were looked at are added to ``seen``.
    """
    for some in in_batches(chain(deliveries.listed_about(customer_id), claimers), _AT_ONCE):
        new = [one for one in dict.fromkeys(some) if one not in seen]
        for one in new:
            seen.add(one)
        yield from (one for one in deliveries.get(new) if one.status is not Status.WAITING)
