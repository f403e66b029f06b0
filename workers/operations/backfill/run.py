"""Finds paid orders at Polar that were never credited, and credits them as their webhooks would have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from config.rules import Rules
from workers.core.delivery import Delivery, Leased, Outcome, Status
from workers.core.envelope import ORDER_PAID
from workers.core.payloads import read_order
from workers.errors import UnreadablePayloadError
from workers.operations.backfill.order_scan import PAID_WITHIN, MissingOrder, OrderScan, delivery_id_of
from workers.operations.pacing import OnProgress, Pacer, ignore_progress, run_batches
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import orders
from workers.store.bodies import decompress_body
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

_MOST_READ = 10_000  # of the bodies that wait, one by one: a second


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What is to be done about orders, and what something else sees to."""

    scan: OrderScan
    interrupted: tuple[str, ...] = ()
    """Deliveries of an earlier backfill that was killed: to be finished."""
    waiting: int = 0
    """Orders whose webhook is in the inbox, and will be seen to."""
    claimed_elsewhere: int = 0
    """Orders whose credit another delivery has claimed and not sent yet."""
    already_settled: int = 0
    """Orders whose delivery was dismissed; with ``only_untold``, those with any settled delivery."""
    already_failed: int = 0
    """Orders that cannot be worked out, and whose delivery failed for it already."""

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to do, and nothing to look into."""
        scan = self.scan
        return not (scan.missing or self.interrupted or scan.needs_review or scan.failing)


@dataclass(frozen=True, kw_only=True)
class Backfiller:
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
        skip_settled: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> Backlog:
        """Read the orders that may have been paid since, and find those never credited; touches nothing.

        ``only_untold``: leave out those whose webhook came and was settled, by whatever rules were then.
        """
        scan = OrderScan(
            rules=rules, begin=since - PAID_WITHIN, end=until, now=now, assume_current=assume_current
        )
        listing = orders(created_after=scan.begin, created_before=scan.end)
        for rows in self.pacer.rows(self.polar, listing, scope="orders:read", on_progress=on_progress):
            scan.add(rows, self.ledger.find_for_plans)
        settled = scan.leave(
            [one for one in scan.missing if self._is_done_with(one, skip_settled=skip_settled)]
        )
        waiting = scan.leave(self._waiting_orders()) if scan.missing else 0
        interrupted = tuple(self._interrupted(scan))
        failing = len(scan.failing)
        scan.failing = [one for one in scan.failing if not self._is_parked(one.order_id)]
        return Backlog(
            scan=scan,
            interrupted=interrupted,
            waiting=waiting,
            claimed_elsewhere=len(scan.unsettled) - len(interrupted),
            already_settled=settled,
            already_failed=failing - len(scan.failing),
        )

    def grant(self, backlog: Backlog, granter: Granter) -> Iterator[list[Outcome]]:
        """Grant what is missing, oldest first; yield what became of it, batch by batch."""
        missing = sorted(backlog.scan.missing.values(), key=lambda one: (one.created_at, one.order_id))
        return chain(
            run_batches(
                backlog.interrupted, self.store.reopen, pacer=self.pacer, granter=granter, store=self.store
            ),
            run_batches(missing, self._put, pacer=self.pacer, granter=granter, store=self.store),
        )

    def _put(self, missing: Sequence[MissingOrder]) -> tuple[Leased, ...]:
        return self.store.store_and_lease(
            [(one.delivery_id, ORDER_PAID, decompress_body(one.packed_body)) for one in missing]
        )

    def _interrupted(self, scan: OrderScan) -> Iterator[str]:
        """Yield our own deliveries that claimed and did not get to the end, unless they failed."""
        own = [id_ for order_id, id_ in scan.unsettled.items() if id_ == delivery_id_of(order_id)]
        return (one.id for one in self.store.get(own) if one.status is Status.WAITING)

    def _waiting_orders(self) -> Iterator[str]:
        """Yield the orders of webhooks in the inbox, the newest ``_MOST_READ``."""
        newest = self.store.newest([Status.WAITING])
        theirs = (one for one in newest if one.type == ORDER_PAID and not _is_ours(one))
        return (order_id for one in islice(theirs, _MOST_READ) if (order_id := self._order_of(one)))

    def _order_of(self, delivery: Delivery) -> str | None:
        if delivery.order_id:
            return delivery.order_id  # a worker has read it before
        try:
            return read_order(self.store.body(delivery.id)).view.id
        except UnreadablePayloadError:
            return None

    def _is_done_with(self, order_id: str, *, skip_settled: bool) -> bool:
        """Say whether somebody put it to rest: it may have been seen to in another way."""
        return any(skip_settled or one.is_dismissed for one in self._told_of(order_id))

    def _is_parked(self, order_id: str) -> bool:
        told = self._told_of(order_id)
        return any(one.status is Status.FAILED or one.is_dismissed for one in told)

    def _told_of(self, order_id: str) -> Iterator[Delivery]:
        return (one for one in self.store.about_order(order_id) if one.type == ORDER_PAID)


def _is_ours(delivery: Delivery) -> bool:
    """Say whether a backfill has put it: that is opened again, not waited for."""
    return delivery.id.startswith(delivery_id_of(""))
