"""Finds everything that is stored about an order or a customer: deliveries, and what the ledger has."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice

from msgspec import Struct

from workers.core.claims import Entry, Standing
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant
from workers.core.plans import Plan
from workers.core.sums import NOTHING, MeterSum, SummedMeter, sum_up
from workers.store.audit import Audit, newest_first
from workers.store.deliveries import DeliveryStore

# Waiting deliveries are not indexed by what they are about, so their bodies are read, newest first. This many
# take a tenth of a second.
_MOST_WAITING_READ = 1_000

# Of a page: facts in the ledger, and as many deliveries that it does not name.
_MOST_FACTS = 50

Totals = Mapping[str, tuple[Decimal, Decimal]]
"""How much Polar has confirmed as granted and as taken back, both positive, by meter."""


class CustomerPlace(Struct, frozen=True, kw_only=True):
    """Where a page of a customer's history begins."""

    fact: str | None = ""
    """Behind which fact in the ledger; "" with the newest one, None if there are no more."""
    listed: int = 0
    """Behind how many of the deliveries that the ledger does not name."""


class CustomerHistory(Struct, frozen=True, kw_only=True):
    """What is stored about one customer: deliveries oldest first, grants newest first."""

    customer_id: str
    deliveries: tuple[Delivery, ...]
    entries: tuple[Entry, ...]
    standings: tuple[Standing, ...] = ()
    next: CustomerPlace | None = None
    """Where the next page begins; None if there is nothing more."""
    has_older: bool = False
    """Whether older facts of the customer were left out."""

    @property
    def by_delivery(self) -> Mapping[str, list[Grant]]:
        """Return the grants that each delivery led to."""
        found: dict[str, list[Grant]] = defaultdict(list)
        for entry in self.entries:
            found[entry.delivery_id].append(entry.grant)
        return found

    @property
    def totals(self) -> Totals:
        """Return the totals of all grants that are here."""
        return totals_of(sum_up(self.entries))


def totals_of(sums: Mapping[SummedMeter, MeterSum]) -> Totals:
    """Return the totals of these sums."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for meter, one in sums.items():
        if one.granted or one.taken_back:
            granted, taken_back = found.get(meter.name, (NOTHING, NOTHING))
            found[meter.name] = (granted + one.granted, taken_back + one.taken_back)
    return dict(sorted(found.items()))


class History(Struct, frozen=True, kw_only=True):
    """Looks up what is stored about an order or a customer. Changes nothing."""

    deliveries: DeliveryStore
    audit: Audit

    def of_order(self, order_id: str) -> list[Delivery]:
        """Return the deliveries about an order, oldest first; of waiting ones, those among the newest."""
        waiting = (
            one for one, plan in self._waiting(order_id) if plan is not None and plan.order_id == order_id
        )
        return _oldest_first([*self.deliveries.about_order(order_id), *waiting])

    def newest_of_customer(self, customer_id: str, most: int) -> CustomerHistory:
        """Return what belongs to a customer's newest facts, and as many deliveries that name none."""
        entries, has_older = self.audit.newest_of_customer(customer_id, most)
        listed = self.deliveries.newest_about(customer_id, 0, most + 1)
        settled = self._settled(listed[:most], entries)
        return CustomerHistory(
            customer_id=customer_id,
            deliveries=tuple(_oldest_first([*settled, *self.waiting_for(customer_id)])),
            entries=tuple(entries),
            has_older=has_older or len(listed) > most,
        )

    def page_of_customer(self, customer_id: str, place: CustomerPlace) -> CustomerHistory:
        """Return the newest of what is stored about a customer, or what comes behind ``place``."""
        standings, fact = (
            ([], None)
            if place.fact is None
            else self.audit.page_of_customer(customer_id, place.fact, _MOST_FACTS)
        )
        listed = self.deliveries.newest_about(customer_id, place.listed, _MOST_FACTS + 1)
        entries = newest_first(claim for standing in standings for claim in standing.claims)
        settled = self._settled(listed[:_MOST_FACTS], entries)
        waiting = self.waiting_for(customer_id) if place == CustomerPlace() else ()
        has_more = fact is not None or len(listed) > _MOST_FACTS
        return CustomerHistory(
            customer_id=customer_id,
            deliveries=tuple(_oldest_first([*settled, *waiting])),
            entries=tuple(entries),
            standings=tuple(standings),
            next=CustomerPlace(fact=fact, listed=place.listed + _MOST_FACTS) if has_more else None,
        )

    def _settled(self, listed: Iterable[str], entries: Iterable[Entry]) -> Iterator[Delivery]:
        ids = {*listed, *(entry.delivery_id for entry in entries)}
        return (one for one in self.deliveries.get(sorted(ids)) if one.status is not Status.WAITING)

    def waiting_for(self, customer_id: str) -> Iterator[Delivery]:
        """Yield the waiting deliveries about a customer, among the newest."""
        found = self._waiting(customer_id)
        return (one for one, plan in found if plan is not None and plan.customer_id == customer_id)

    def _waiting(self, id_: str) -> Iterator[tuple[Delivery, Plan | None]]:
        """Yield the waiting deliveries whose body contains ``id_``, each with its plan without any rules."""
        newest = islice(self.deliveries.newest([Status.WAITING]), _MOST_WAITING_READ)
        by_id = {one.id: one for one in newest}
        if not by_id:
            return
        # Imported here: it takes a third of the time of a list, and few deliveries wait.
        from config.rules import NO_RULES  # noqa: PLC0415
        from workers.core.delivery_plans import plan_delivery  # noqa: PLC0415

        for delivery_id, body in self.deliveries.bodies(by_id):
            if id_.encode() in body:
                one = by_id[delivery_id]
                yield one, plan_delivery(one.type, body, NO_RULES).plan


def _oldest_first(deliveries: list[Delivery]) -> list[Delivery]:
    return sorted({one.id: one for one in deliveries}.values(), key=lambda one: (one.received_at, one.id))
