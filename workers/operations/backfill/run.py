"""Finds paid orders at Polar that were never credited, and credits them as their webhooks would have."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

from msgspec import Struct

from config.rules import Rules
from workers.core.delivery import Delivery, Leased, Outcome, Status
from workers.core.envelope import ORDER_PAID
from workers.core.look_back import PAID_WITHIN
from workers.core.payloads import read_order
from workers.errors import UnreadablePayloadError
from workers.operations.backfill.order_scan import OrderScan, Past
from workers.operations.backfill.scanned_orders import MissingOrder, OrderProblem, delivery_id_of
from workers.operations.batch_runs import run_batches
from workers.operations.pacing import OnProgress, Pacer, ignore_progress
from workers.operations.spool import Spool, sorted_on_disk
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import orders
from workers.store.bodies import decompress_body
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

_MOST_READ = 10_000  # waiting bodies; to read them takes about a second


class Backlog(Struct, frozen=True, kw_only=True):
    """The orders that a backfill found: what it would do about them, and what it leaves to others."""

    scan: OrderScan
    interrupted: tuple[str, ...] = ()
    """Ids of the deliveries that an interrupted backfill began and did not settle: this one finishes them."""
    waiting: int = 0
    """How many orders have a stored webhook that waits for a worker."""
    claimed_elsewhere: int = 0
    """How many orders were claimed by another delivery that is not settled yet."""
    not_listed: int = 0
    """How many orders Polar counts that it does not list."""
    not_listed_around: Sequence[datetime] = ()
    """When they were created: the first and the last of these moments bound all of them."""

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to grant and nothing for a person to look into."""
        scan = self.scan
        to_look_into = scan.needs_review or scan.failing or scan.older or self.not_listed
        return not (scan.missing or self.interrupted or to_look_into)


class Backfiller(Struct, frozen=True, kw_only=True):
    """Finds paid orders that were never credited, and credits them."""

    store: DeliveryStore
    ledger: Ledger
    polar: Polar
    pacer: Pacer

    def find_missing(
        self,
        rules: Rules,
        *,
        since: datetime,
        until: datetime,
        now: datetime,
        assume_current: bool = False,
        by_itself_from: datetime | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> Backlog:
        """Return the orders paid since ``since`` that were never credited; writes nothing.

        With ``by_itself_from`` no person decides: orders created earlier are left out, and those whose
        webhook arrived and was settled, whatever the rules were then.
        """
        spool = Spool()
        scan = OrderScan(
            missing=spool.mapping(MissingOrder),
            partial=spool.list(OrderProblem),
            needs_review=spool.list(OrderProblem),
            failing=spool.list(OrderProblem),
            planned_bonuses=spool.set(),
            rules=rules,
            begin=since - PAID_WITHIN,
            end=until,
            now=now,
            assume_current=assume_current,
            by_itself_from=by_itself_from,
        )
        listing = orders(created_after=scan.begin, created_before=scan.end)
        reading = self.pacer.read_in_slices(self.polar, listing)
        for rows in self.pacer.rows(reading, scope="orders:read", on_progress=on_progress):
            scan.add(rows, self.ledger.find_for_plans, self._pasts)
        waiting = scan.exclude(self._waiting_orders()) if scan.missing else 0
        interrupted = tuple(self._interrupted(scan))
        return Backlog(
            scan=scan,
            interrupted=interrupted,
            waiting=waiting,
            claimed_elsewhere=len(scan.unsettled) - len(interrupted),
            not_listed=reading.missing,
            not_listed_around=reading.missing_around,
        )

    def grant(self, backlog: Backlog, granter: Granter) -> Iterator[list[Outcome]]:
        """Credit the missing orders, oldest first; yield the outcomes of each batch.

        The deliveries of an interrupted backfill come first.
        """
        missing = sorted_on_disk(backlog.scan.missing.values(), _place, MissingOrder)
        return chain(
            run_batches(
                backlog.interrupted, self.store.reopen, pacer=self.pacer, granter=granter, store=self.store
            ),
            run_batches(missing, self._store, pacer=self.pacer, granter=granter, store=self.store),
        )

    def _store(self, missing: Sequence[MissingOrder]) -> tuple[Leased, ...]:
        return self.store.store_and_lease(
            [(one.delivery_id, ORDER_PAID, decompress_body(one.packed_body)) for one in missing]
        )

    def _interrupted(self, scan: OrderScan) -> Iterator[str]:
        """Yield the ids of an earlier backfill's deliveries that have claimed credits and still wait."""
        own = [id_ for order_id, id_ in scan.unsettled.items() if id_ == delivery_id_of(order_id)]
        return (one.id for one in self.store.get(own) if one.status is Status.WAITING)

    def _waiting_orders(self) -> Iterator[str]:
        """Yield the order ids of the webhooks that wait for a worker, reading the newest ``_MOST_READ``."""
        newest = self.store.newest([Status.WAITING])
        received = (one for one in newest if one.type == ORDER_PAID and not _is_backfilled(one))
        return (order_id for one in islice(received, _MOST_READ) if (order_id := self._order_of(one)))

    def _order_of(self, delivery: Delivery) -> str | None:
        if delivery.order_id:
            return delivery.order_id  # a worker read the body before
        try:
            return read_order(self.store.body(delivery.id)).view.id
        except UnreadablePayloadError:
            return None

    def _pasts(self, order_ids: Sequence[str]) -> list[Past]:
        """Return what became of the webhooks of these orders, from their deliveries or from memory."""
        told = self.ledger.told(order_ids)
        found = zip(order_ids, self.store.about_orders(order_ids), strict=True)
        return [_past(deliveries, was_told=order_id in told) for order_id, deliveries in found]


def _place(one: MissingOrder) -> str:
    """Return a text by which orders are sorted by their creation."""
    return f"{one.created_at.astimezone(UTC).isoformat(timespec='microseconds')} {one.order_id}"


def _past(deliveries: Sequence[Delivery], *, was_told: bool) -> Past:
    paid = [one for one in deliveries if one.type == ORDER_PAID]
    return Past(
        was_skipped=was_told or any(one.status is Status.SKIPPED for one in paid),
        was_dismissed=any(one.is_dismissed for one in paid),
        has_failed=any(one.status is Status.FAILED for one in paid),
    )


def _is_backfilled(delivery: Delivery) -> bool:
    """Return whether a backfill stored the delivery: it is reopened, not waited for."""
    return delivery.id.startswith(delivery_id_of(""))
