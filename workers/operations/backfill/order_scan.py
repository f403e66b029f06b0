"""Finds which of Polar's orders were never credited, and plans each as its webhook would have been."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSet, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from config.rules import Rules
from workers.core.adjusted import granted
from workers.core.claims import REBUILD, Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.dry_run import dry_run
from workers.core.envelope import ORDER_PAID
from workers.core.facts import Fact, as_shown, order_fact
from workers.core.grants import Grant, is_instalment
from workers.core.payloads import read_order
from workers.core.planning import Obstacle, judge, plan_for, why_never
from workers.core.plans import Plan
from workers.core.shapes import parse
from workers.core.wording import credits_text
from workers.errors import UnreadablePayloadError
from workers.operations.backfill.scanned_orders import MissingOrder, OrderProblem, Problems
from workers.operations.backfill.staleness import stale_fields
from workers.polar.lists import Row
from workers.store.bodies import compress_body

_CREDITABLE = ("paid", "partially_refunded")

_SKIP_REASONS: Mapping[int, str] = {
    Obstacle.WINDOW: "created outside the from/until window of its rules",
    Obstacle.CONDITION: "the when condition of its rules is false",
    Obstacle.NOTHING_GIVEN: "its rules give 0",
}


class Past(Struct, frozen=True, kw_only=True):
    """What became of the webhooks of an order that is not credited."""

    was_skipped: bool = False
    was_dismissed: bool = False
    has_failed: bool = False


FindStandings = Callable[[Sequence[Plan]], Sequence[Standing]]
"""Reads what the ledger has for each plan."""

FindPasts = Callable[[Sequence[str]], Sequence[Past]]
"""Reads what became of the webhooks of each of these orders."""


class OrderScan(Struct, kw_only=True):
    """The orders read so far, sorted by what to do with them.

    Only orders created at or after ``begin`` and before ``end`` count. With ``assume_current`` an order is
    planned from the values that Polar shows today, even if they may have changed since it was paid. What
    grows with the number of orders may be on disk.

    Only a person applies today's rules to the past. With ``by_itself_from`` no person is there: an order
    created earlier is not missing, and neither is one whose webhook came.
    """

    rules: Rules
    begin: datetime
    end: datetime
    now: datetime
    assume_current: bool = False
    by_itself_from: datetime | None = None
    read: int = 0
    """How many orders were read."""
    granted: int = 0
    """How many of them are credited already."""
    dismissed: int = 0
    """How many orders a person has dismissed: they are never credited."""
    left: int = 0
    """How many orders are left to a person because their webhook came and credited nothing."""
    older: int = 0
    """How many orders are left to a person because they were created before ``by_itself_from``."""
    already_failed: int = 0
    """How many orders with no computable amount have a delivery that failed already."""
    was_rebuilt: bool = False
    """Whether the ledger was read back from Polar: what was skipped or dismissed before that is not known."""
    missing: MutableMapping[str, MissingOrder] = field(default_factory=dict)
    unsettled: dict[str, str] = field(default_factory=dict)
    """Orders whose credit is claimed but not settled, each with the delivery that claimed it."""
    partial: Problems = field(default_factory=list[OrderProblem])
    """Orders restored by a rebuild to which today's rules give more; the rest may never have been sent."""
    needs_review: Problems = field(default_factory=list[OrderProblem])
    """Orders whose credit depends on values that may have changed; ``reason`` names those fields."""
    failing: Problems = field(default_factory=list[OrderProblem])
    """Orders for which no amount can be computed."""
    skipped: Counter[str] = field(default_factory=Counter)
    """How many orders earn no credit, by reason."""
    planned_bonuses: MutableSet[str] = field(default_factory=set)
    """The facts of bonuses that a missing order gives: no other gives them."""
    _last_page: frozenset[str] = frozenset()

    def add(
        self,
        rows: Sequence[Row],
        find_standings: FindStandings,
        find_pasts: FindPasts,
    ) -> None:
        """Add a page of Polar's orders, oldest first."""
        new = [row for row in rows if str(row.get("id")) not in self._last_page]
        self._last_page = frozenset(
            str(row.get("id")) for row in rows
        )  # the next page may repeat some of them
        self.read += len(new)
        paid = [order for row in new if (order := self._read(row))]
        found = self._look_up(paid, find_standings)
        uncredited = [(order, standing) for order, standing in found if not self._is_claimed(order, standing)]
        pasts = find_pasts([order.order_id for order, _ in uncredited]) if uncredited else ()
        for (order, standing), past in zip(uncredited, pasts, strict=True):
            self._classify(order, standing, past)

    def exclude(self, order_ids: Iterable[str]) -> int:
        """Remove orders that something else handles from the missing ones; return how many it removed."""
        return sum(self.missing.pop(order_id, None) is not None for order_id in order_ids)

    def _read(self, row: Row) -> "_PaidOrder | None":
        if (status := row.get("status")) not in _CREDITABLE:
            self.skipped[f"now {status}"] += 1
            return None
        body = webhook_of(row, self.now)
        try:
            parse(body)  # all of it: other rules may come to need any part
            fact = order_fact(read_order(body))
        except UnreadablePayloadError as error:
            self.failing.append(OrderProblem(order_id=str(row.get("id")), reason=str(error)))
            return None
        if not self.begin <= fact.moment < self.end:
            self.skipped["created outside the requested time"] += 1
            return None
        return _PaidOrder(order_id=fact.order_id or "", fact=fact, plan=plan_for(fact, self.rules), body=body)

    def _look_up(
        self, orders: Sequence["_PaidOrder"], find_standings: FindStandings
    ) -> list[tuple["_PaidOrder", Standing]]:
        """Return the orders, as earlier webhooks showed them to be, with what the ledger has for each."""
        standings = find_standings([order.plan for order in orders])
        known = [order.as_shown(one, self.rules) for order, one in zip(orders, standings, strict=True)]
        if any(one is not order for one, order in zip(known, orders, strict=True)):
            standings = find_standings([order.plan for order in known])
        return list(zip(known, standings, strict=True))

    def _classify(self, order: "_PaidOrder", standing: Standing, past: Past) -> None:
        stale = () if self.assume_current else stale_fields(order.fact, self.rules)
        if not (stale or order.plan.failure or order.plan.grants):
            self.skipped[_skip_reason(order.fact, self.rules, order.plan)] += 1
        elif self._is_left(order, past):
            return
        elif stale:
            self.needs_review.append(OrderProblem(order_id=order.order_id, reason=", ".join(stale)))
        elif not order.plan.failure:
            self._add_missing(order, standing, past)
        elif past.has_failed:
            self.already_failed += 1
        else:
            self.failing.append(OrderProblem(order_id=order.order_id, reason=order.plan.failure))

    def _is_left(self, order: "_PaidOrder", past: Past) -> bool:
        """Count an order that is not for this backfill to credit; return whether it is one."""
        if past.was_dismissed:
            self.dismissed += 1
        elif self.by_itself_from is None:
            return False
        elif past.was_skipped or past.has_failed:
            self.left += 1
        elif order.fact.moment < self.by_itself_from:
            self.older += 1
        else:
            return False
        return True

    def _is_claimed(self, order: "_PaidOrder", standing: Standing) -> bool:
        """Count an order that is credited, or claimed at least; return whether it is one."""
        self.was_rebuilt |= any(claim.delivery_id == REBUILD for claim in standing.claims)
        if standing.is_dismissed:
            self.dismissed += 1
            return True
        if not any(grant.units > 0 for claim in standing.claims for grant in claim.grants):
            return False
        claims = (claim for claim in standing.claims if not is_instalment(claim.subject))
        unsettled = [claim.delivery_id for claim in claims if claim.unsettled]
        if unsettled:
            self.unsettled[order.order_id] = unsettled[0]
        else:
            self.granted += 1
        if reason := _possible_shortfall(order.plan, standing):
            self.partial.append(OrderProblem(order_id=order.order_id, reason=reason))
        return True

    def _add_missing(self, order: "_PaidOrder", standing: Standing, past: Past) -> None:
        granted = {claim.subject for claim in standing.elsewhere}
        new = tuple(
            grant
            for grant in order.plan.grants
            if grant.subject not in granted and grant.subject not in self.planned_bonuses
        )
        if not new:
            self.granted += 1  # it would only give a bonus that its customer already has
            return
        for grant in new:
            if grant.subject != order.plan.subject:
                self.planned_bonuses.add(grant.subject)
        self.missing[order.order_id] = _missing_order(order, new, standing, past)


class _PaidOrder(Struct, frozen=True, kw_only=True):
    order_id: str
    fact: Fact
    plan: Plan
    body: bytes

    def as_shown(self, standing: Standing, rules: Rules) -> "_PaidOrder":
        """Return this order; if a webhook showed it to be something else than Polar shows now, as that."""
        fact = as_shown(self.fact, standing.shown)
        return self if fact is self.fact else replace(self, fact=fact, plan=plan_for(fact, rules))


def webhook_of(row: Row, now: datetime) -> bytes:
    """Return the body of the webhook that would have announced an order, as Polar shows it today."""
    payload = {"type": ORDER_PAID, "timestamp": now.isoformat(), "data": row}
    return json.dumps(payload, separators=(",", ":")).encode()


def _missing_order(order: _PaidOrder, new: tuple[Grant, ...], standing: Standing, past: Past) -> MissingOrder:
    planned = PlannedDelivery(type=ORDER_PAID, fact=order.fact, plan=replace(order.plan, grants=new))
    return MissingOrder(
        order_id=order.order_id,
        customer_id=order.fact.customer_id,
        created_at=order.fact.moment,
        prospect=dry_run(planned, standing),
        grants=new,
        packed_body=compress_body(order.body),
        was_skipped=past.was_skipped,
    )


def _possible_shortfall(plan: Plan, standing: Standing) -> str:
    """Return what today's rules give beyond what a rebuild read back from Polar, or "".

    It is reported and not granted: nobody can tell which rules were in force then.
    """
    if standing.own is None or standing.own.delivery_id != REBUILD:
        return ""
    has = [*granted(standing), *(grant for claim in standing.elsewhere for grant in claim.grants)]
    more = [grant for grant in plan.grants if grant.key not in {one.key for one in has}]
    return f"Polar has {credits_text(has)}; today's rules also give {credits_text(more)}" if more else ""


def _skip_reason(fact: Fact, rules: Rules, plan: Plan) -> str:
    """Return why an order earns no credit, in the same words for every such order."""
    if fact.why_never:
        return fact.why_never
    if why_never(fact, rules):
        return "created before credit_from"
    closest = max((judge(rule, fact).obstacle or 0 for rule in rules.rules), default=0)
    return _SKIP_REASONS.get(closest, plan.skip)
