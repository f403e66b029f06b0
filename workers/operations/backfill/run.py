"""Webhooks that never came: found by what Polar remembers, and granted as they would have been."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice

from config.rules import Rules
from workers.core.cases import open_case
from workers.core.delivery import Delivery, Leased, Outcome, Status
from workers.core.dry_run import prospect
from workers.core.envelope import ORDER_PAID, STORED_TYPES
from workers.core.payloads import read_order
from workers.core.planning import Plan
from workers.core.usage_events import GRANTED_BY, Trace, read_trace, says_it_is_ours
from workers.errors import UnreadableEventError
from workers.operations.backfill.review import PAID_WITHIN, Missing, Review, delivery_id_of
from workers.operations.pacing import Turns, run_in_turn
from workers.operations.recover import Lost, Search
from workers.pipeline.granter import MOST_DELIVERIES, Granter
from workers.polar.client import Polar
from workers.polar.lists import Listing, Row, events, failed_webhooks, orders
from workers.polar.scopes import needs
from workers.store.bodies import unpack
from workers.store.deliveries import DISMISSED, DeliveryStore
from workers.store.ledger import Ledger

LEDGER_LOST = (
    "the ledger lacks the first credits that Polar has of ours: run credits rebuild first (else orders are "
    "claimed anew, and refunds take again what they have taken)"
)

_MOST_READ = 10_000  # of the bodies that wait, one by one: a second

Tell = Callable[[int, int], object]
"""Is told how many rows have been read, and how many there are."""


def _tell_nobody(_read: int, _total: int) -> None:
    return


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
        return not (review.missing or self.begun or review.unsure or review.failing)


@dataclass(frozen=True, kw_only=True)
class Mender:
    """Looks for what is missing, and runs it."""

    store: DeliveryStore
    ledger: Ledger
    polar: Polar
    turns: Turns

    def is_ledger_lost(self, now: datetime) -> bool:
        """Say whether of the first that Polar has of ours something was never claimed in this ledger.

        What was taken back does not count: without its grant a rebuild leaves it out.
        """
        listing = events(metadata={"granted_by": GRANTED_BY}, before=now)
        with needs("events:read"):
            page = self.turns.ask(partial(self.polar.page, listing))
        told = [read_trace(row) for row in page.items if says_it_is_ours(row)]
        subjects = [one.grant.subject for one in told if isinstance(one, Trace) and one.grant.units > 0]
        return any(standing.own is None for standing in self.ledger.find_all(subjects))

    def look(
        self,
        rules: Rules,
        *,
        since: datetime,
        until: datetime,
        now: datetime,
        assume_current: bool = False,
        only_untold: bool = False,
        tell: Tell = _tell_nobody,
    ) -> Backlog:
        """Read the orders that may have been paid since, and find those never credited; touches nothing.

        ``only_untold``: leave out those whose webhook came and was settled, by whatever rules were then.
        """
        review = Review(
            rules=rules, begin=since - PAID_WITHIN, end=until, now=now, assume_current=assume_current
        )
        listing = orders(created_after=review.begin, created_before=review.end)
        for rows in self._read(listing, "orders:read", tell):
            review.add(rows, self.ledger.look_all)
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
            run_in_turn(
                backlog.begun, self.store.reopen, turns=self.turns, granter=granter, store=self.store
            ),
            run_in_turn(missing, self._put, turns=self.turns, granter=granter, store=self.store),
        )

    def search(self, *, since: datetime, until: datetime, tell: Tell = _tell_nobody) -> Search:
        """Read what Polar failed to deliver since, and find what never reached us; touches nothing."""
        found = Search()
        listing = failed_webhooks(since=since, before=until, types=STORED_TYPES)
        for rows in self._read(listing, "webhooks:read", tell):
            found.add(rows, self._known)
        return found

    def prospects(self, lost: Sequence[Lost], rules: Rules) -> dict[str, str]:
        """Return what a run of each would come to, by its id; touches nothing."""
        would: dict[str, str] = {}
        for start in range(0, len(lost), MOST_DELIVERIES):
            cases = [open_case(_imagined(one), rules) for one in lost[start : start + MOST_DELIVERIES]]
            standings = self.ledger.look_all([case.plan or Plan(subject="") for case in cases])
            for case, standing in zip(cases, standings, strict=True):
                would[case.delivery.id] = prospect(case, standing)
        return would

    def recover(self, lost: Sequence[Lost], granter: Granter) -> Iterator[list[Outcome]]:
        """Store and run these webhooks; yield what became of them, batch by batch."""
        return run_in_turn(lost, self._store, turns=self.turns, granter=granter, store=self.store)

    def _read(self, listing: Listing, scope: str, tell: Tell) -> Iterator[Sequence[Row]]:
        read = 0
        with needs(scope):
            for page in self.turns.read(self.polar, listing):
                yield page.items
                read += len(page.items)
                tell(read, page.total)

    def _put(self, missing: Sequence[Missing]) -> tuple[Leased, ...]:
        return self.store.put([(one.delivery_id, ORDER_PAID, unpack(one.packed)) for one in missing])

    def _store(self, lost: Sequence[Lost]) -> tuple[Leased, ...]:
        # What has come meanwhile, by Polar's own next attempt, is a worker's.
        known = self._known([one.id for one in lost])
        rows = [(one.id, one.type, unpack(one.packed)) for one in lost if one.id not in known]
        return self.store.put(rows)

    def _known(self, ids: Sequence[str]) -> set[str]:
        return {one.id for one in self.store.get(ids)}

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
        except UnreadableEventError:
            return None

    def _is_done_with(self, order_id: str, *, only_untold: bool) -> bool:
        """Say whether somebody put it to rest: it may have been seen to in another way."""
        return any(only_untold or one.reason.startswith(DISMISSED) for one in self._told_of(order_id))

    def _is_parked(self, order_id: str) -> bool:
        told = self._told_of(order_id)
        return any(one.status is Status.FAILED or one.reason.startswith(DISMISSED) for one in told)

    def _told_of(self, order_id: str) -> Iterator[Delivery]:
        return (one for one in self.store.about(order_id) if one.type == ORDER_PAID)


def _imagined(one: Lost) -> Leased:
    return Leased(id=one.id, type=one.type, body=unpack(one.packed), strikes=0, attempt=0)


def _is_ours(delivery: Delivery) -> bool:
    """Say whether a backfill has put it: that is opened again, not waited for."""
    return delivery.id.startswith(delivery_id_of(""))
