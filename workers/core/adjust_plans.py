"""Plans the adjustment of one order: what today's rule gives it, beside what the ledger has."""

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Rule, Rules
from workers.core.adjust_delivery import ManualAdjust, SeenRefund, Wanted
from workers.core.adjustments import (
    NEW_INSTALMENTS,
    UNCHANGED,
    adjustment_due,
    why_left_alone,
    why_not_adjusted,
)
from workers.core.claims import Refund, Standing
from workers.core.facts import Fact, as_shown
from workers.core.grants import Grant
from workers.core.planning import Verdict, judge, why_never


class AdjustPlan(Struct, frozen=True, kw_only=True):
    """What adjusting an order would do: a request with the grants that it leads to, or why there is none."""

    request: ManualAdjust | None = None
    grants: tuple[Grant, ...] = ()
    left_alone: str = ""
    """Why the order is skipped; empty if it is adjusted, or if nothing changes."""
    fails: bool = False
    """Whether it is skipped because today's rule cannot be evaluated for it."""


def plan_adjustment(
    fact: Fact, rule: Rule, rules: Rules, standing: Standing, *, is_seen_today: bool = False
) -> AdjustPlan:
    """Return how to bring what ``rule`` gave an order to what it says today.

    ``is_seen_today`` says that the fact is read from Polar's orders, which show all refunds so far.
    """
    known = as_shown(fact, standing.shown)
    if why := why_never(known, rules):
        return AdjustPlan(left_alone=why)
    refund = fact.refund if is_seen_today else None
    noted = _with_refund(standing, refund)
    if why := why_left_alone(noted, rule.name):
        return AdjustPlan(left_alone=why)
    verdict = judge(rule, known)
    if verdict.failure:
        return AdjustPlan(left_alone=verdict.failure, fails=True)
    if rule.every and verdict.amounts:
        return AdjustPlan(left_alone=NEW_INSTALMENTS)
    request = _request(fact, verdict, rules, noted, refund)
    adjust = request.plan().adjust
    due = adjustment_due(noted, adjust, request.delivery_id) if adjust else None
    if due:
        return AdjustPlan(request=request, grants=due.grants)
    why = why_not_adjusted(noted, adjust) if adjust else ""
    return AdjustPlan(left_alone="" if why == UNCHANGED else why)


def _with_refund(standing: Standing, refund: Refund | None) -> Standing:
    known = standing.refund
    is_news = refund is not None and (known is None or known.amount < refund.amount)
    return replace(standing, refund=refund) if is_news else standing


def _request(
    fact: Fact, verdict: Verdict, rules: Rules, standing: Standing, refund: Refund | None
) -> ManualAdjust:
    rule = verdict.rule
    return ManualAdjust(
        order_id=fact.order_id or "",
        customer_id=_customer_of(standing) or fact.customer_id,
        rule=rule.name,
        number=standing.adjusted + 1,
        wanted=tuple(
            Wanted(
                meter=meter,
                property_name=rules.meters[meter].property,
                units=units,
                revocable=rule.revokes,
                disputable=rule.revokes_disputed,
            )
            for meter, units in sorted(verdict.amounts.items())
        ),
        refund=SeenRefund(amount=refund.amount, share=f"{refund.share.numerator}/{refund.share.denominator}")
        if refund
        else None,
    )


def _customer_of(standing: Standing) -> str:
    """Return whom the order's credits were given to; the order may have another customer at Polar today."""
    grants = standing.own.grants if standing.own else ()
    return grants[0].customer_id if grants else ""
