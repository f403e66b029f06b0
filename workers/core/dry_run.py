"""PURE: what would come of a delivery if it were run now; for looking before leaping."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from workers.core.cases import Case, other_amount
from workers.core.claims import Claim, Refund, Standing
from workers.core.grants import Grant
from workers.core.planning import Plan
from workers.core.takebacks import nothing_to_take, take_backs
from workers.core.wording import credits_text

_NO_TIME = datetime.min.replace(tzinfo=UTC)  # of a claim that is only imagined


def prospect(case: Case, standing: Standing) -> str:
    """Say what a run would come to, given what stands."""
    if case.is_by_hand and (words := other_amount(case, standing)):
        return f"fail: {words}"
    if case.plan is None:
        return f"fail: {case.failure}" if case.failure else f"skip: {case.skip}"
    told = _as_if_claimed(case.plan, replace(standing, refund=_highest(standing.refund, case.plan.refund)))
    taking = take_backs(case.plan, told, case.delivery.id)
    going = [*_unsettled(standing, -1), *(grant for one in taking for grant in one.grants)]
    texts = [
        _left(standing) if case.takes_back else _credit(case.plan, standing),
        credits_text(going) if going else "",
    ]
    return "; ".join(filter(None, texts)) or f"nothing: {nothing_to_take(case.plan, told)}"


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
    frozen = [grant for claim in standing.claims for grant in claim.grants if grant.units > 0]
    had = {claim.subject for claim in standing.elsewhere}
    planned = [grant for grant in plan.grants if grant.subject not in had]
    if not frozen:
        return _first_time(plan, planned, standing.elsewhere)
    differs = credits_text(frozen) != credits_text(planned)
    note = f" (today's rules say {credits_text(planned)}: left alone)" if differs else ""
    return (_left(standing) or f"nothing: {credits_text(frozen)} already granted") + note


def _left(standing: Standing) -> str:
    """Return what was claimed and is still to be sent; nothing if nothing is."""
    left = _unsettled(standing, 1)
    return f"grant {credits_text(left)}, as claimed before" if left else ""


def _unsettled(standing: Standing, sign: int) -> list[Grant]:
    return [one for claim in standing.claims for one in claim.unsettled if one.units * sign > 0]


def _first_time(plan: Plan, planned: Sequence[Grant], elsewhere: Sequence[Claim]) -> str:
    had = [grant for claim in elsewhere for grant in claim.grants]
    note = f"{credits_text(had)} already granted to this customer" if had else ""
    if planned:
        return "; ".join(filter(None, [f"grant {credits_text(planned)}", note]))
    if plan.failure:
        return f"fail: {plan.failure}"
    return f"nothing: {note}" if note else f"skip: {plan.skip}"


def _highest(seen: Refund | None, told: Refund | None) -> Refund | None:
    return max((one for one in (seen, told) if one), key=lambda one: (one.amount, one.share), default=None)
