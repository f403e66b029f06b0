"""Sorts the orders that were credited in a time by what adjusting them would do."""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from config.rules import Rule, Rules
from workers.core.adjust_delivery import ManualAdjust
from workers.core.adjust_plans import plan_adjustment
from workers.core.adjusted import credited
from workers.core.adjustments import IN_FLIGHT, why_left_alone
from workers.core.claims import Claim, Standing
from workers.core.delivery import Delivery, Status
from workers.core.facts import Fact, order_fact
from workers.core.grants import Grant, order_of
from workers.core.payloads import read_order
from workers.errors import UnreadablePayloadError
from workers.operations.spool import Spool, SpooledList

NOT_STORED = "its webhook is no longer stored: --assume-current reads the order from Polar as it is today"
UNKNOWN_AT_POLAR = "its webhook is no longer stored, and Polar has no such order"


class AdjustedOrder(Struct, frozen=True, kw_only=True):
    """An order to adjust: the request, and the grants that it leads to."""

    order_id: str
    customer_id: str
    request: ManualAdjust
    grants: tuple[Grant, ...]


class SkippedOrder(Struct, frozen=True, kw_only=True):
    """An order that is left alone, and why."""

    order_id: str
    reason: str


class Candidate(Struct, frozen=True, kw_only=True):
    """A credited order, its webhook's body, and the delivery of an adjustment that is under way."""

    standing: Standing
    body: bytes = b""
    """Empty if it is not known; ``why_unknown`` then says why."""
    why_unknown: str = NOT_STORED
    is_seen_today: bool = False
    """Whether the body is what Polar shows today."""
    under_way: Delivery | None = None


class AdjustScan(Struct, kw_only=True):
    """The orders read so far. The lists of them are on disk."""

    rules: Rules
    rule: Rule
    read: int = 0
    """How many credited orders were read, whatever rule credited them."""
    unchanged: int = 0
    """How many of them have what the rule says, the rule's part being 0 for most orders of other products."""
    adjusting: SpooledList[AdjustedOrder] = field(default_factory=lambda: Spool().list(AdjustedOrder))
    interrupted: SpooledList[str] = field(default_factory=lambda: Spool().list(str))
    """Ids of the deliveries that an interrupted run of the command has left: this one finishes them."""
    skipped: SpooledList[SkippedOrder] = field(default_factory=lambda: Spool().list(SkippedOrder))
    failing: SpooledList[SkippedOrder] = field(default_factory=lambda: Spool().list(SkippedOrder))
    """Orders for which today's rule cannot be evaluated."""

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to adjust and nothing for a person to look into."""
        return not (self.adjusting or self.interrupted or self.skipped or self.failing)

    def has_part(self, standing: Standing) -> bool:
        """Return whether the rule gave the order something, as far as the ledger knows."""
        return any(self.rule.name in grant.rules for grant in credited(standing))

    def skip(self, standing: Standing, reason: str) -> None:
        """Leave an order alone."""
        self.skipped.append(SkippedOrder(order_id=order_of(standing.subject) or "", reason=reason))

    def add(self, one: Candidate) -> None:
        """Add an order."""
        self.read += 1
        standing, reason = one.standing, why_left_alone(one.standing, self.rule.name)
        if reason == IN_FLIGHT and self._is_interrupted(one):
            self.interrupted.append(one.under_way.id if one.under_way else "")
        elif one.body:
            self._plan(standing, one.body, is_seen_today=one.is_seen_today)
        elif reason and not self.has_part(standing):
            self.unchanged += 1
        else:
            self.skip(standing, reason or one.why_unknown)

    def _is_interrupted(self, one: Candidate) -> bool:
        left, delivery = one.standing.open_adjustment, one.under_way
        is_of_rule = left is not None and _is_of(left, self.rule)
        return is_of_rule and delivery is not None and delivery.status is Status.WAITING

    def _plan(self, standing: Standing, body: bytes, *, is_seen_today: bool) -> None:
        order_id = order_of(standing.subject) or ""
        try:
            fact = order_fact(read_order(body))
            plan = plan_adjustment(fact, self.rule, self.rules, standing, is_seen_today=is_seen_today)
        except UnreadablePayloadError as error:
            self.failing.append(SkippedOrder(order_id=order_id, reason=str(error)))
            return
        if plan.request:
            self.adjusting.append(
                AdjustedOrder(
                    order_id=order_id,
                    customer_id=plan.request.customer_id,
                    request=plan.request,
                    grants=plan.grants,
                )
            )
        elif plan.fails:
            self.failing.append(SkippedOrder(order_id=order_id, reason=plan.left_alone))
        elif plan.left_alone and self._concerns(fact, standing):
            self.skip(standing, plan.left_alone)
        else:
            self.unchanged += 1

    def _concerns(self, fact: Fact, standing: Standing) -> bool:
        """Return whether the rule gave the order something, or would for all that is known."""
        products = self.rule.products
        return self.has_part(standing) or products is None or fact.product_id in products


def _is_of(claim: Claim, rule: Rule) -> bool:
    return any(rule.name in grant.rules for grant in claim.grants)


def by_reason(skipped: Iterable[SkippedOrder]) -> Mapping[str, int]:
    """Return how many orders are skipped for each reason, the most frequent first."""
    counts: dict[str, int] = {}
    for one in skipped:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda row: -row[1]))
