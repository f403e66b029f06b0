"""Describes what running a delivery now would do, without doing it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from workers.core.adjusted import granted
from workers.core.adjustments import adjustment_due, why_not_adjusted
from workers.core.claims import Adjust, Claim, Dispute, Refund, Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.grants import Grant, is_correction
from workers.core.instalment_series import series_text
from workers.core.instalments import InstalmentRequest, instalment_date, why_ended
from workers.core.outcomes import amount_conflict
from workers.core.plans import Plan
from workers.core.takebacks import due_take_backs, why_none_due
from workers.core.wording import credits_text

# The claim of a dry run is never stored, so nobody reads its time and delivery.
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_NO_DELIVERY = ""


class Prospect(Struct, frozen=True, kw_only=True):
    """What running a delivery now would do."""

    text: str
    grants: tuple[Grant, ...] = ()
    """What would be sent to Polar; what is taken back has negative credits."""
    fails: bool = False


def dry_run_text(planned: PlannedDelivery, standing: Standing) -> str:
    """Return in words what running the delivery would do, given what the ledger has for its fact."""
    return dry_run(planned, standing).text


def dry_run(planned: PlannedDelivery, standing: Standing) -> Prospect:
    """Return what running the delivery would do, given what the ledger has for its fact.

    What is taken back right after a credit, by a delivery of its own, belongs to it.
    """
    if planned.instalment:
        return _instalment(planned.instalment, standing)
    return _dry_run(planned, standing)


def _dry_run(planned: PlannedDelivery, standing: Standing) -> Prospect:
    if planned.is_manual_grant and (conflict := amount_conflict(planned, standing)):
        return _fails(conflict)
    if planned.plan is None or planned.failure:
        return _fails(planned.failure) if planned.failure else Prospect(text=f"skip: {planned.skip}")
    if standing.is_dismissed and not planned.takes_back:
        return Prospect(text=f"skip: {why_none_due(standing, None, None)}")
    plan = planned.plan
    noted = replace(
        standing,
        refund=_highest(standing.refund, plan.refund),
        disputes=_with(standing.disputes, plan.dispute),
    )
    if plan.adjust:
        return _adjustment(plan.adjust, noted)
    then = noted if planned.takes_back else _as_if_settled(plan, noted)
    take_backs = due_take_backs(then, _NO_DELIVERY, plan.revoke)
    claimed = [grant for claim in then.claims_to_send(takes_back=True) for grant in claim.unsettled]
    taken = [*claimed, *(grant for one in take_backs for grant in one.grants)]
    if planned.takes_back and not taken:
        return Prospect(text=f"nothing: {why_none_due(then, plan.refund, plan.revoke, plan.dispute)}")
    credit = Prospect(text="") if planned.takes_back else _credit(plan, standing)
    text = "; ".join(filter(None, [credit.text, credits_text(taken) if taken else ""]))
    return replace(credit, text=text, grants=(*credit.grants, *taken))


def _adjustment(adjust: Adjust, standing: Standing) -> Prospect:
    """Return what an adjustment would send: a new one, or the one that was claimed before."""
    due = adjustment_due(standing, adjust, _NO_DELIVERY)
    claims = standing.adjustments_to_send(adjust.number)
    grants = due.grants if due else tuple(grant for claim in claims for grant in claim.unsettled)
    if not grants:
        return Prospect(text=f"nothing: {why_not_adjusted(standing, adjust)}")
    return Prospect(text=f"adjust: {credits_text(grants)}", grants=grants)


def _fails(why: str) -> Prospect:
    return Prospect(text=f"fail: {why}", fails=True)


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


def _credit(plan: Plan, standing: Standing) -> Prospect:
    """Return what would be granted, without what is taken back afterwards."""
    frozen = [grant for grant in granted(standing) if grant.units > 0]
    earned = {claim.subject for claim in standing.elsewhere}
    planned = [grant for grant in plan.grants if grant.subject not in earned]
    if not frozen:
        return _first_credit(plan, planned, standing.elsewhere)
    differs = credits_text(frozen) != credits_text(planned)
    note = f" (today's rules say {credits_text(planned)}: left alone)" if differs else ""
    claims = [claim for claim in standing.claims if not is_correction(claim.subject)]
    left = tuple(one for claim in claims for one in claim.unsettled)
    text = (
        f"grant {credits_text(left)}, as claimed before"
        if left
        else f"nothing: {credits_text(frozen)} already granted"
    )
    return Prospect(text=text + note, grants=left)


def _first_credit(plan: Plan, planned: Sequence[Grant], elsewhere: Sequence[Claim]) -> Prospect:
    earned = [grant for claim in elsewhere for grant in claim.grants]
    note = f"{credits_text(earned)} already granted to this customer" if earned else ""
    if planned:
        later = series_text(planned, plan.period)
        then = f"then {later}" if later else ""
        text = "; ".join(filter(None, [f"grant {credits_text(planned)}", then, note]))
        return Prospect(text=text, grants=tuple(planned))
    if plan.failure:
        return _fails(plan.failure)
    return Prospect(text=f"nothing: {note}" if note else f"skip: {plan.skip}")


def _with(disputes: tuple[Dispute, ...], dispute: Dispute | None) -> tuple[Dispute, ...]:
    known = tuple(one for one in disputes if dispute is None or one.id != dispute.id)
    return (*known, dispute) if dispute else known


def _highest(first: Refund | None, second: Refund | None) -> Refund | None:
    return max((one for one in (first, second) if one), key=lambda one: (one.amount, one.share), default=None)


def _instalment(request: InstalmentRequest, standing: Standing) -> Prospect:
    claim = standing.instalment(request.number, request.meter)
    if claim is None:
        at = instalment_date(standing, request.meter, request.number)
        why = why_ended(standing, request.meter, at)
        return Prospect(text=f"skip: {why}" if why else "look up its subscription at Polar, which decides")
    if not claim.unsettled:
        return Prospect(text=f"nothing: already granted {credits_text(claim.grants)}")
    return Prospect(text=f"grant {credits_text(claim.grants)}", grants=claim.grants)
