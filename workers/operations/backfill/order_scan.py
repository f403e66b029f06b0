"""PURE: which of the orders that Polar shows were never credited, each planned as by its webhook."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from config.rules import Rules
from workers.core.claims import REBUILD, Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.dry_run import dry_run_text
from workers.core.envelope import ORDER_PAID
from workers.core.facts import Fact, order_fact
from workers.core.grants import Grant
from workers.core.payloads import read_order
from workers.core.planning import Obstacle, Plan, judge, never, plan_for
from workers.core.wording import credits_text
from workers.errors import UnreadablePayloadError
from workers.operations.backfill.staleness import stale_fields
from workers.polar.lists import Row
from workers.store.bodies import compress_body

# An order is paid up to so long after it was created, and does not say when.
PAID_WITHIN = timedelta(days=21)

_PREFIX = "backfill-"
_CREDITABLE = ("paid", "partially_refunded")

_UNMET: Mapping[int, str] = {
    Obstacle.WINDOW: "created outside the from and until of the rules for it",
    Obstacle.CONDITION: "the when of the rules for it is false",
    Obstacle.NOTHING_GIVEN: "the rules for it give 0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingOrder:
    """An order to be credited: what that comes to, and the webhook that would have told of it."""

    order_id: str
    customer_id: str
    created_at: datetime
    forecast: str
    grants: tuple[Grant, ...]
    packed_body: bytes

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery by which it is credited."""
        return delivery_id_of(self.order_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderProblem:
    """An order that is left as it is, and why."""

    order_id: str
    reason: str


@dataclass(kw_only=True)
class OrderScan:
    """What was found so far among the orders created from ``begin`` on and before ``end``."""

    rules: Rules
    begin: datetime
    end: datetime
    now: datetime
    assume_current: bool = False
    read: int = 0
    granted: int = 0
    missing: dict[str, MissingOrder] = field(default_factory=dict)
    unsettled: dict[str, str] = field(default_factory=dict)
    """What is claimed and not at Polar yet: by order, the delivery that has claimed it."""
    partial: list[OrderProblem] = field(default_factory=list)
    """Orders read back from Polar to which today's rules give more: it may never have been sent."""
    needs_review: list[OrderProblem] = field(default_factory=list)
    failing: list[OrderProblem] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    _last_page: frozenset[str] = frozenset()
    _promised: set[str] = field(default_factory=set)

    def add(self, rows: Sequence[Row], look: Callable[[Sequence[Plan]], Sequence[Standing]]) -> None:
        """Take in a page of Polar's orders, oldest first; ``look`` returns what stands for each plan."""
        new = [row for row in rows if str(row.get("id")) not in self._last_page]
        self._last_page = frozenset(
            str(row.get("id")) for row in rows
        )  # the next may begin with some of them
        self.read += len(new)
        sold = [one for row in new if (one := self._sold(row))]
        for one, standing in zip(sold, look([one.plan for one in sold]), strict=True):
            self._judge(one, standing)

    def leave(self, order_ids: Iterable[str]) -> int:
        """Take these out of what is missing, for something else sees to them; return how many there were."""
        left = self.missing.keys() & set(order_ids)
        for order_id in left:
            del self.missing[order_id]
        return len(left)

    def _sold(self, row: Row) -> "_Sold | None":
        if (status := row.get("status")) not in _CREDITABLE:
            self.skipped[f"{status} by now"] += 1
            return None
        body = _webhook(row, self.now)
        try:
            fact = order_fact(read_order(body))
        except UnreadablePayloadError as error:
            self.failing.append(OrderProblem(order_id=str(row.get("id")), reason=str(error)))
            return None
        if not self.begin <= fact.moment < self.end:
            self.skipped["created outside the time asked for"] += 1
            return None
        return _Sold(order_id=fact.order_id or "", fact=fact, plan=plan_for(fact, self.rules), body=body)

    def _judge(self, one: "_Sold", standing: Standing) -> None:
        if any(grant.units > 0 for claim in standing.claims for grant in claim.grants):
            self._count_claimed(one, standing)
        elif rests_on := () if self.assume_current else stale_fields(one.fact, self.rules):
            self.needs_review.append(OrderProblem(order_id=one.order_id, reason=", ".join(rests_on)))
        elif one.plan.failure:
            self.failing.append(OrderProblem(order_id=one.order_id, reason=one.plan.failure))
        elif not one.plan.grants:
            self.skipped[_reason(one.fact, self.rules, one.plan)] += 1
        else:
            self._see_what_is_new(one, standing)

    def _count_claimed(self, one: "_Sold", standing: Standing) -> None:
        unsettled = [claim.delivery_id for claim in standing.claims if claim.unsettled]
        if unsettled:
            self.unsettled[one.order_id] = unsettled[0]
        else:
            self.granted += 1
        if why := _what_may_lack(one.plan, standing):
            self.partial.append(OrderProblem(order_id=one.order_id, reason=why))

    def _see_what_is_new(self, one: "_Sold", standing: Standing) -> None:
        had = {claim.subject for claim in standing.elsewhere} | self._promised
        new = tuple(grant for grant in one.plan.grants if grant.subject not in had)
        if not new:
            self.granted += 1  # all that it would give is a bonus that its customer has
            return
        self._promised |= {grant.subject for grant in new if grant.subject != one.plan.subject}
        self.missing[one.order_id] = _missing(one, new, standing)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sold:
    order_id: str
    fact: Fact
    plan: Plan
    body: bytes


def delivery_id_of(order_id: str) -> str:
    """Return the id of the delivery that stands for an order's webhook which never came."""
    return _PREFIX + order_id


def _webhook(row: Row, now: datetime) -> bytes:
    whole = {"type": ORDER_PAID, "timestamp": now.isoformat(), "data": row}
    return json.dumps(whole, separators=(",", ":")).encode()


def _missing(one: _Sold, new: tuple[Grant, ...], standing: Standing) -> MissingOrder:
    planned = PlannedDelivery(type=ORDER_PAID, fact=one.fact, plan=replace(one.plan, grants=new))
    return MissingOrder(
        order_id=one.order_id,
        customer_id=one.fact.customer_id,
        created_at=one.fact.moment,
        forecast=dry_run_text(planned, standing),
        grants=new,
        packed_body=compress_body(one.body),
    )


def _what_may_lack(plan: Plan, standing: Standing) -> str:
    """Return what today's rules give beside what was read back from Polar: nobody knows what was meant."""
    if standing.own is None or standing.own.delivery_id != REBUILD:
        return ""
    stand = [grant for claim in (*standing.claims, *standing.elsewhere) for grant in claim.grants]
    more = [grant for grant in plan.grants if grant.key not in {one.key for one in stand}]
    return f"Polar has {credits_text(stand)}; today's rules also give {credits_text(more)}" if more else ""


def _reason(fact: Fact, rules: Rules, plan: Plan) -> str:
    """Return why there is no credit, in words that orders of one kind have in common."""
    if fact.never:
        return fact.never
    if never(fact, rules):
        return "created before credit_from"
    closest = max((judge(rule, fact).obstacle or 0 for rule in rules.rules), default=0)
    return _UNMET.get(closest, plan.skip)
