"""Describes what running a delivery now would do, without doing it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from workers.core.claims import Claim, Dispute, Refund, Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.grants import Grant
from workers.core.outcomes import amount_conflict
from workers.core.planning import Plan
from workers.core.takebacks import due_take_backs, why_none_due
from workers.core.wording import credits_text

# The claim of a dry run is never stored, so nobody reads its time and delivery.
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_NO_DELIVERY = ""


def dry_run_text(planned: PlannedDelivery, standing: Standing) -> str:
    """Return what running the delivery would do, given what the ledger has for its fact.

    What is taken back right after a credit, by a delivery of its own, belongs to it.
    """
    if planned.is_manual_grant and (conflict := amount_conflict(planned, standing)):
        return f"fail: {conflict}"
    if planned.plan is None or planned.failure:
        return f"fail: {planned.failure}" if planned.failure else f"skip: {planned.skip}"
    if standing.is_dismissed and not planned.takes_back:
        return f"skip: {why_none_due(standing, None, None)}"
    plan = planned.plan
    noted = replace(
        standing,
        refund=_highest(standing.refund, plan.refund),
        disputes=_with(standing.disputes, plan.dispute),
    )
    then = noted if planned.takes_back else _as_if_settled(plan, noted)
    take_backs = due_take_backs(then, _NO_DELIVERY, plan.revoke)
    claimed = [grant for claim in then.claims_to_send(takes_back=True) for grant in claim.unsettled]
    taken = [*claimed, *(grant for one in take_backs for grant in one.grants)]
    texts = [
        "" if planned.takes_back else _grant_text(plan, standing),
        credits_text(taken) if taken else "",
    ]
    return (
        "; ".join(filter(None, texts))
        or f"nothing: {why_none_due(then, plan.refund, plan.revoke, plan.dispute)}"
    )


def _as_if_settled(plan: Plan, standing: Standing) -> Standing:
    """Return the standing as if the plan were claimed and settled: an earlier refund is then taken back."""
    grants = tuple(grant for grant in plan.grants if grant.subject == plan.subject)
    if standing.own is None and not grants:
        return standing
    own = standing.own or Claim(
        subject=plan.subject,
        delivery_id=_NO_DELIVERY,
        claimed_at=_NO_TIME,
        grants=grants,
        order_id=plan.order_id,
    )
    settled = replace(own, settled={grant.meter: _NO_TIME for grant in own.grants})
    return replace(
        standing, claims=(settled, *(one for one in standing.claims if one.subject != own.subject))
    )


def _grant_text(plan: Plan, standing: Standing) -> str:
    frozen = [grant for claim in standing.claims for grant in claim.grants if grant.units > 0]
    earned = {claim.subject for claim in standing.elsewhere}
    planned = [grant for grant in plan.grants if grant.subject not in earned]
    if not frozen:
        return _first_grant_text(plan, planned, standing.elsewhere)
    differs = credits_text(frozen) != credits_text(planned)
    note = f" (today's rules say {credits_text(planned)}: left alone)" if differs else ""
    return (_pending_text(standing) or f"nothing: {credits_text(frozen)} already granted") + note


def _pending_text(standing: Standing) -> str:
    """Return the text about grants that are claimed but not confirmed; empty if there are none."""
    left = [one for claim in standing.claims for one in claim.unsettled if one.units > 0]
    return f"grant {credits_text(left)}, as claimed before" if left else ""


def _first_grant_text(plan: Plan, planned: Sequence[Grant], elsewhere: Sequence[Claim]) -> str:
    earned = [grant for claim in elsewhere for grant in claim.grants]
    note = f"{credits_text(earned)} already granted to this customer" if earned else ""
    if planned:
        return "; ".join(filter(None, [f"grant {credits_text(planned)}", note]))
    if plan.failure:
        return f"fail: {plan.failure}"
    return f"nothing: {note}" if note else f"skip: {plan.skip}"


def _with(disputes: tuple[Dispute, ...], dispute: Dispute | None) -> tuple[Dispute, ...]:
    known = tuple(one for one in disputes if dispute is None or one.id != dispute.id)
    return (*known, dispute) if dispute else known


def _highest(first: Refund | None, second: Refund | None) -> Refund | None:
    return max((one for one in (first, second) if one), key=lambda one: (one.amount, one.share), default=None)
