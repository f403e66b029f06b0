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
from workers.operations.backfill.review import PAID_WITHIN, Missing, Review, delivery_id_of
from workers.operations.pacing import Pacer, Tell, run_batches, tell_nobody
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

    review: Review
    begun: tuple[str, ...] = ()
    """Deliveries of an earlier backfill that was killed: to be finished."""
    waiting: int = 0
    """Orders whose webhook is in the inbox, and will be seen to."""
    claimed: int = 0
    """Orders whose credit another delivery has claimed and not sent yet."""
    settled: int = 0
    """Orders whose delivery was dismissed; with ``only_untold``, those with any settled delivery."""
    parked: int = 0
    """Orders that cannot be worked out, and whose delivery failed for it already."""

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to do, and nothing to look into."""
        review = self.review
        return not (review.missing or self.begun or review.needs_review or review.failing)


@dataclass(frozen=True, kw_only=True)
class Backfiller:
    """Finds paid orders that were never credited, and credits them."""

    store: DeliveryStore
    ledger: Ledger
    polar: Polar
    pacer: Pacer

    def look(
        self,
        rules: Rules,
        *,
        since: datetime,
        until: datetime,
        now: datetime,
        assume_current: bool = False,
        only_untold: bool = False,
        tell: Tell = tell_nobody,
    ) -> Backlog:
        """Read the orders that may have been paid since, and find those never credited; touches nothing.

        ``only_untold``: leave out those whose webhook came and was settled, by whatever rules were then.
        """
        review = Review(
            rules=rules, begin=since - PAID_WITHIN, end=until, now=now, assume_current=assume_current
        )
        listing = orders(created_after=review.begin, created_before=review.end)
        for rows in self.pacer.rows(self.polar, listing, scope="orders:read", tell=tell):
            review.add(rows, self.ledger.find_for_plans)
        settled = review.leave(
            [one for one in review.missing if self._is_done_with(one, only_untold=only_untold)]
        )
        waiting = review.leave(self._waiting_orders()) if review.missing else 0
        begun = tuple(self._begun(review))
        failing = len(review.failing)
        review.failing = [one for one in review.failing if not self._is_parked(one.order_id)]
        return Backlog(
            review=review,
            begun=begun,
            waiting=waiting,
            claimed=len(review.unsettled) - len(begun),
            settled=settled,
            parked=failing - len(review.failing),
        )

    def grant(self, backlog: Backlog, granter: Granter) -> Iterator[list[Outcome]]:
        """Grant what is missing, oldest first; yield what became of it, batch by batch."""
        missing = sorted(backlog.review.missing.values(), key=lambda one: (one.created_at, one.order_id))
        return chain(
            run_batches(
                backlog.begun, self.store.reopen, pacer=self.pacer, granter=granter, store=self.store
            ),
            run_batches(missing, self._put, pacer=self.pacer, granter=granter, store=self.store),
        )

    def _put(self, missing: Sequence[Missing]) -> tuple[Leased, ...]:
        return self.store.store_and_lease(
            [(one.delivery_id, ORDER_PAID, decompress_body(one.packed)) for one in missing]
        )

    def _begun(self, review: Review) -> Iterator[str]:
        """Yield our own deliveries that claimed and did not get to the end, unless they failed."""
        own = [id_ for order_id, id_ in review.unsettled.items() if id_ == delivery_id_of(order_id)]
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

    def _is_done_with(self, order_id: str, *, only_untold: bool) -> bool:
        """Say whether somebody put it to rest: it may have been seen to in another way."""
        return any(only_untold or one.is_dismissed for one in self._told_of(order_id))

    def _is_parked(self, order_id: str) -> bool:
        told = self._told_of(order_id)
        return any(one.status is Status.FAILED or one.is_dismissed for one in told)

    def _told_of(self, order_id: str) -> Iterator[Delivery]:
        return (one for one in self.store.about_order(order_id) if one.type == ORDER_PAID)


def _is_ours(delivery: Delivery) -> bool:
    """Say whether a backfill has put it: that is opened again, not waited for."""
    return delivery.id.startswith(delivery_id_of(""))
