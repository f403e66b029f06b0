"""PURE: what would come of a delivery if it were run now; for looking before leaping."""

from dataclasses import replace
from datetime import UTC, datetime

from workers.cases import Case, credits_text
from workers.planning import Plan
from workers.records import Claim, Refund, Standing
from workers.refunds import nothing_to_take, take_back

_NO_TIME = datetime.min.replace(tzinfo=UTC)  # of a claim that is only imagined


def prospect(case: Case, standing: Standing) -> str:
    """Say what a run would come to, given what stands."""
    if case.plan is None:
        return f"fail: {case.failure}" if case.failure else f"skip: {case.skip}"
    told = _as_if_claimed(case.plan, replace(standing, refund=_highest(standing.refund, case.plan.refund)))
    taking = take_back(told, case.delivery.id)
    texts = [] if case.is_refund else [_credit(case.plan, standing)]
    if taking:
        texts.append(credits_text(taking.grants))
    elif case.is_refund:
        texts.append(f"nothing: {nothing_to_take(told, case.plan.refund)}")
    return "; ".join(texts)


def _as_if_claimed(plan: Plan, standing: Standing) -> Standing:
    """Return what would stand after the claim: what is refunded already is taken back at once."""
    grants = tuple(grant for grant in plan.grants if grant.subject == plan.subject)
    if standing.own is not None or not grants:
        return standing
    own = Claim(
        subject=plan.subject, delivery_id="", claimed_at=_NO_TIME, grants=grants, order_id=plan.order_id
    )
    return replace(standing, claims=(own, *standing.claims))


def _credit(plan: Plan, standing: Standing) -> str:
    planned = credits_text(plan.grants)
    given = [grant for claim in standing.claims for grant in claim.grants if grant.units > 0]
    if not given:
        return _first_time(plan)
    frozen = credits_text(given)
    note = "" if frozen == planned else f" (today's rules say {planned}: left alone)"
    if standing.own is None and (fresh := _fresh(plan, standing)):
        return f"grant {fresh}; {frozen} already granted to this customer"
    if unsettled := [one for claim in standing.claims for one in claim.unsettled if one.units > 0]:
        return f"grant {credits_text(unsettled)}, as claimed before{note}"
    return f"nothing: {frozen} already granted{note}"


def _first_time(plan: Plan) -> str:
    if plan.grants:
        return f"grant {credits_text(plan.grants)}"
    return f"fail: {plan.failure}" if plan.failure else f"skip: {plan.skip}"


def _fresh(plan: Plan, standing: Standing) -> str:
    """Return what is still free to be granted where the fact is not frozen, only its customer's bonus."""
    frozen = {claim.subject for claim in standing.claims}
    fresh = [grant for grant in plan.grants if grant.subject not in frozen]
    return credits_text(fresh) if fresh else ""


def _highest(seen: Refund | None, told: Refund | None) -> Refund | None:
    return max((one for one in (seen, told) if one), key=lambda one: (one.amount, one.share), default=None)
