"""Finds disputes that were lost at Polar, which sends no webhook for them, and takes their share back."""

from collections.abc import Iterator, Sequence
from functools import partial

from msgspec import Struct, field

from workers.core.batches import in_batches
from workers.core.delivery import Outcome
from workers.core.dispute_delivery import (
    DISPUTE_LOST,
    DisputedOrder,
    LostDispute,
    dispute_body,
    dispute_delivery,
)
from workers.core.grants import order_subject
from workers.core.shapes import read_row
from workers.errors import UnreadablePayloadError
from workers.operations.batch_runs import run_batches
from workers.operations.pacing import Pacer
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import Row, lost_disputes
from workers.polar.responses import needs
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

_AT_ONCE = 200  # orders whose standings are read in one step


class LostDisputes(Struct, kw_only=True):
    """The lost disputes that are not known yet, and those that could not be read."""

    deliveries: list[tuple[str, str, bytes]] = field(default_factory=list)
    """What is to be stored for each: a delivery's id, type and body."""
    unreadable: list[str] = field(default_factory=list)
    """Why a person must look at Polar, one line each."""


class DisputeFinder(Struct, frozen=True, kw_only=True):
    """Finds lost disputes, and makes a delivery of each."""

    store: DeliveryStore
    ledger: Ledger
    polar: Polar
    pacer: Pacer

    def find_new(self) -> LostDisputes:
        """Return the lost disputes that neither a delivery nor the ledger knows; writes nothing."""
        found = LostDisputes()
        for one in self._unknown(self._lost(found)):
            with needs("orders:read"):
                row = self.pacer.ask(partial(self.polar.find, f"/v1/orders/{one.order_id}"))
            try:
                body = dispute_body(one, read_row(DisputedOrder, row))
            except UnreadablePayloadError as error:
                why = str(error) if row else "Polar has no such order"
                found.unreadable.append(f"dispute {one.id} of order {one.order_id}: {why}")
            else:
                found.deliveries.append((dispute_delivery(one.id), DISPUTE_LOST, body))
        return found

    def take_back(self, found: LostDisputes, granter: Granter) -> Iterator[list[Outcome]]:
        """Store and run the deliveries; yield the outcomes of each batch."""
        return run_batches(
            found.deliveries, self.store.store_and_lease, pacer=self.pacer, granter=granter, store=self.store
        )

    def _lost(self, found: LostDisputes) -> Sequence[LostDispute]:
        reading = self.pacer.read_completely(self.polar, lost_disputes())
        rows = [row for some in self.pacer.rows(reading, scope="disputes:read") for row in some]
        if reading.missing:
            found.unreadable.append(f"Polar counts {reading.total} lost disputes, but lists {reading.found}")
        read = (_dispute(row, found) for row in rows)
        # A server that ignores the filter lists all disputes.
        return [one for one in read if one is not None and one.status == "lost"]

    def _unknown(self, disputes: Sequence[LostDispute]) -> Iterator[LostDispute]:
        for some in in_batches(disputes, _AT_ONCE):
            stored = {one.id for one in self.store.get([dispute_delivery(one.id) for one in some])}
            left = [one for one in some if dispute_delivery(one.id) not in stored]
            standings = self.ledger.find_many([order_subject(one.order_id) for one in left])
            for one, standing in zip(left, standings, strict=True):
                if one.id not in {noted.id for noted in standing.disputes}:
                    yield one


def _dispute(row: Row, found: LostDisputes) -> LostDispute | None:
    try:
        return read_row(LostDispute, row)
    except UnreadablePayloadError as error:
        found.unreadable.append(f"a dispute at Polar: {error}")
        return None
