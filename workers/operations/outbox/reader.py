"""Writes the events that are sent from what is stored: the ledger, and the bodies of deliveries.

The outbox holds only their names. So an event that waits takes little memory, and holds no personal data.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from workers.core.claims import Claim, Standing
from workers.core.credit_events import (
    CreditEvent,
    external_customer_id,
    failure_event,
    grant_event,
    settled_grant,
)
from workers.core.grants import order_subject
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.outbox import LeasedEvent


class EventReader(Struct, frozen=True, kw_only=True):
    """Reads events in batches, in three round trips each."""

    ledger: Ledger
    deliveries: DeliveryStore

    def read(self, leased: Sequence[LeasedEvent]) -> list[CreditEvent | str]:
        """Return the event of each lease, or why there is none."""
        subjects = [one.failure.subject if one.failure else one.name.subject for one in leased]
        standings = self._standings(subjects)
        origins = [
            self._origins(one, standings[subject]) for one, subject in zip(leased, subjects, strict=True)
        ]
        orders = list(dict.fromkeys(order for _, order in origins if order))
        by_order = dict(zip(orders, self.ledger.find_own(orders), strict=True))
        sources = [_deliveries(id_, by_order.get(order)) for id_, order in origins]
        bodies = dict(self.deliveries.bodies(id_ for ids in sources for id_ in ids))
        return [
            _event(one, standings[subject], _first_external_id(ids, bodies))
            for one, subject, ids in zip(leased, subjects, sources, strict=True)
        ]

    def _standings(self, subjects: Iterable[str]) -> Mapping[str, Standing]:
        """Return what the ledger has for these subjects; nothing for an empty one."""
        wanted = list(dict.fromkeys(subjects))
        found = self.ledger.find_many(wanted) if wanted else []
        return dict(zip(wanted, found, strict=True))

    def _origins(self, one: LeasedEvent, standing: Standing) -> tuple[str, str]:
        """Return the delivery that an event comes from, and the subject of its order; empty if unknown."""
        if one.failure:
            order_id = one.failure.order_id
            return one.name.delivery_id, order_subject(order_id) if order_id else ""
        claim = standing.own
        order = order_subject(claim.order_id) if claim and claim.order_id else ""
        return (claim.delivery_id if claim else ""), ("" if order == standing.subject else order)


def _deliveries(delivery_id: str, order: Standing | None) -> list[str]:
    """Return the deliveries whose bodies may name the customer; that of a take-back often does not."""
    claims: Sequence[Claim | None] = (order.own,) if order else ()
    return [id_ for id_ in (delivery_id, *(one.delivery_id for one in claims if one)) if id_]


def _first_external_id(ids: Iterable[str], bodies: Mapping[str, bytes]) -> str | None:
    return next(filter(None, (external_customer_id(bodies[id_]) for id_ in ids)), None)


def _event(one: LeasedEvent, standing: Standing, external_id: str | None) -> CreditEvent | str:
    if one.failure:
        return failure_event(one.name, one.failure, standing, external_id)
    if one.name.is_failure:
        return "it is not known any more how the delivery failed"
    found = settled_grant(standing, one.name.rest)
    return grant_event(*found, external_id) if found else "the ledger does not have this grant any more"
