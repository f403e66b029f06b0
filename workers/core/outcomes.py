"""Decides how a delivery ends: its status, and the reason that operators read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from config.wording import format_count
from workers.core.adjusted import credited
from workers.core.adjustments import NOT_AT_POLAR, UNCONFIRMED, why_not_adjusted
from workers.core.claims import Claim, Standing
from workers.core.delivery import Ended, Leased, Outcome, PutBack, Status
from workers.core.delivery_plans import PlannedDelivery
from workers.core.due_instalments import DueInstalment
from workers.core.grants import adjust_subject, is_correction, is_take_back
from workers.core.instalments import End, Wait
from workers.core.manual import other_amount_text
from workers.core.pauses import PauseCause
from workers.core.plans import Plan, Refusal
from workers.core.takebacks import why_none_due
from workers.core.wording import credits_text, utc


class IngestionResult(Struct, kw_only=True):
    """What Polar answered in one round, by grant key.

    A key that no field contains was not sent, or its request was not answered.
    """

    accepted: set[str] = field(default_factory=set)
    unconfirmed: set[str] = field(default_factory=set)
    """Accepted keys whose request counted duplicates: Polar may have had them before, with other amounts."""
    refused: dict[str, str] = field(default_factory=dict)
    later: dict[str, tuple[float, str]] = field(default_factory=dict)
    pause: tuple[float, str] | None = None
    cause: PauseCause = PauseCause.UNAVAILABLE
    """Why there is a pause; has no meaning if there is none."""


_HELD_SECONDS = 30.0
_OF_CUSTOMER = "customer_id:"  # begins Polar's reason if it does not know the customer of an event
NEEDS_REVIEW = (
    "needs review: Polar had it, or another in its request, though it was sent for the first time: "
    "`credits rebuild` reads what Polar has"
)


class _Decision(NamedTuple):
    status: Status
    reason: str
    after_seconds: float = 0
    strike: bool = False
    refusal: str = ""
    put_back: PutBack | None = None
    ended: Ended | None = None
    refused: tuple[str, ...] = ()


def decide_outcome(
    delivery: Leased,
    planned: PlannedDelivery,
    standing: Standing | None,
    makers: Mapping[str, str],
    result: IngestionResult,
) -> Outcome:
    """Return how ``delivery`` ends, or why it still waits.

    ``makers`` maps the key of each unsettled grant to the delivery that claimed it.
    """
    decision = _decide(delivery.id, planned, standing, makers, result)
    plan = planned.plan
    review = f", {NEEDS_REVIEW}" if _is_duplicate_adjustment(delivery, planned, result) else ""
    return Outcome(
        delivery_id=delivery.id,
        attempt=delivery.attempt,
        status=decision.status,
        reason=decision.reason + review,
        subject=plan.subject if plan else "",
        order_id=(plan.order_id or "") if plan else "",
        customer_id=plan.customer_id if plan else "",
        after_seconds=decision.after_seconds,
        strike=decision.strike,
        refusal=decision.refusal,
        put_back=decision.put_back,
        ended=decision.ended,
        refused=decision.refused,
        relies_on=_relied_on(standing) if standing else (),
        refunded_amount=plan.refund.amount if plan and plan.refund else None,
        dispute_id=plan.dispute.id if plan and plan.dispute else None,
        is_shown=plan is not None and plan.shown is not None,
    )


def _is_duplicate_adjustment(delivery: Leased, planned: PlannedDelivery, result: IngestionResult) -> bool:
    """Return whether Polar had an adjustment before it was first sent: its number was used before."""
    plan = planned.plan
    if plan is None or plan.adjust is None or delivery.attempt > 1:
        return False
    prefix = adjust_subject(plan.order_id or "", plan.adjust.number) + ":"
    return any(key.startswith(prefix) for key in result.unconfirmed)


def _relied_on(standing: Standing) -> tuple[str, ...]:
    """Return the subjects of the claims that decided."""
    return tuple(claim.subject for claim in standing.claims or standing.elsewhere)


def amount_conflict(planned: PlannedDelivery, standing: Standing) -> str:
    """Return why a manual grant is refused: its key granted another amount. Empty if it did not."""
    if planned.plan is None or standing.own is None:
        return ""
    is_same = credits_text(standing.own.grants) == credits_text(planned.plan.grants)
    return "" if is_same else other_amount_text(standing.own)


def _decide(
    delivery_id: str,
    planned: PlannedDelivery,
    standing: Standing | None,
    makers: Mapping[str, str],
    result: IngestionResult,
) -> _Decision:
    plan = planned.plan
    if planned.failure or standing is None or plan is None:
        return _without_plan(planned)
    claims = planned.claims_to_send(standing)
    open_keys = [grant.key for claim in claims for grant in claim.unsettled]
    if [key for key in open_keys if key not in result.accepted and key not in result.refused]:
        return _waiting(open_keys, result)
    if refusals := {result.refused[key] for key in open_keys if key in result.refused}:
        is_stranger = plan.cap is not None and all(text.startswith(_OF_CUSTOMER) for text in refusals)
        refusal = Refusal.CUSTOMER if is_stranger else ""
        return _Decision(
            Status.FAILED,
            f"refused by Polar: {'; '.join(sorted(refusals))}",
            refusal=refusal,
            refused=tuple(_others_take_backs(delivery_id, claims, result)),
        )
    if planned.is_manual_grant and (conflict := amount_conflict(planned, standing)):
        return _Decision(Status.FAILED, conflict)
    # Corrections that Polar has stay this delivery's, even if nothing more is taken back for the moment.
    settled = [one for one in standing.claims if is_correction(one.subject) and not one.unsettled]
    made_of = {claim.subject: claim for claim in (*claims, *settled)}
    if own := [one for one in made_of.values() if _is_made_by(delivery_id, one, makers)]:
        text = credits_text([grant for claim in own for grant in claim.grants])
        note = "" if planned.takes_back or plan.instalment else _rules_note(plan, standing, own)
        return _Decision(Status.GRANTED, text + note)
    due = plan.instalment
    return (
        _without_instalment(due, standing, result) if due else _without_claim(planned, plan, standing, result)
    )


def _others_take_backs(delivery_id: str, claims: Sequence[Claim], result: IngestionResult) -> Iterator[str]:
    """Yield the take-backs that Polar refused and that another delivery has claimed."""
    for claim in claims:
        is_refused = any(grant.key in result.refused for grant in claim.unsettled)
        if is_refused and is_take_back(claim.subject) and claim.delivery_id != delivery_id:
            yield claim.subject


def _without_plan(planned: PlannedDelivery) -> _Decision:
    if planned.put_off:
        return _Decision(Status.WAITING, planned.put_off, after_seconds=planned.put_off_seconds)
    return _Decision(Status.FAILED if planned.failure else Status.SKIPPED, planned.failure or planned.skip)


def _is_made_by(delivery_id: str, claim: Claim, makers: Mapping[str, str]) -> bool:
    is_claimant = claim.delivery_id == delivery_id
    return bool(claim.grants) and (
        is_claimant or any(makers.get(grant.key) == delivery_id for grant in claim.unsettled)
    )


def _without_claim(
    planned: PlannedDelivery, plan: Plan, standing: Standing, result: IngestionResult
) -> _Decision:
    """Decide about a delivery that claimed nothing: its fact was credited before, or earns no credit."""
    if planned.takes_back or standing.is_dismissed:
        return _held_adjustment(plan, standing) or _Decision(Status.SKIPPED, _why_nothing(plan, standing))
    if standing.is_capped and plan.cap is not None:
        limit = f": {format_count(plan.cap.most, 'time')}" if plan.cap.most else ""
        text = f"the customer has had this offer as often as one customer can{limit}"
        return _Decision(Status.SKIPPED, text, refusal=Refusal.CAP)
    if earlier := [claim for claim in standing.claims if claim.grants]:
        return _Decision(Status.SKIPPED, f"already granted: {_claim_text(earlier[0], result)}")
    if plan.failure:
        return _Decision(Status.FAILED, plan.failure)
    if standing.elsewhere:
        bonus = standing.elsewhere[0]
        rule = ", ".join(bonus.grants[0].rules)
        text = f"already granted to this customer by rule {rule}: {_claim_text(bonus, result)}"
        return _Decision(Status.SKIPPED, text)
    return _unclaimed(plan)


def _without_instalment(due: DueInstalment, standing: Standing, result: IngestionResult) -> _Decision:
    """Decide about an instalment that this delivery did not give: it was given, waits, or never comes."""
    meter = due.request.meter
    if claim := due.claim(standing):
        dismissed = "dismissed: only a replay by the delivery's id sends it"
        text = dismissed if claim.is_dismissed else f"already granted: {_claim_text(claim, result)}"
        return _Decision(Status.SKIPPED, text)
    match due.decide(standing):
        case End(reason=reason):
            return _Decision(Status.SKIPPED, reason, ended=Ended(meter=meter, reason=reason))
        case Wait() as wait:
            early = due.polar_now if wait.is_early else None
            back = PutBack(
                number=due.request.number,
                meter=meter,
                until=wait.until,
                reason="" if wait.is_early else wait.reason,
                too_early_at=early,
            )
            return _Decision(Status.WAITING, wait.reason, put_back=back)
    return _TAKEN_OVER  # the ledger did not accept the claim


_TAKEN_OVER = _Decision(Status.WAITING, "another worker has taken over this delivery")


def _unclaimed(plan: Plan) -> _Decision:
    if plan.grants:  # the ledger did not accept the claim
        return _TAKEN_OVER
    return _Decision(Status.SKIPPED, plan.skip, refusal=plan.refusal or "")


def _held_adjustment(plan: Plan, standing: Standing) -> _Decision | None:
    """Return that an adjustment waits, if it was claimed and is held back by a doubt; else None."""
    is_open = standing.open_adjustment is not None and not standing.is_dismissed
    if plan.adjust is None or plan.adjust.number != standing.adjusted or not is_open:
        return None
    reason = UNCONFIRMED if standing.unconfirmed else NOT_AT_POLAR
    return _Decision(Status.WAITING, reason, after_seconds=_HELD_SECONDS)


def _why_nothing(plan: Plan, standing: Standing) -> str:
    if plan.adjust:
        return why_not_adjusted(standing, plan.adjust)
    return why_none_due(standing, plan.refund, plan.revoke, plan.dispute)


def _claim_text(claim: Claim, result: IngestionResult) -> str:
    is_pending = any(grant.key not in result.accepted for grant in claim.unsettled)
    note = ", not confirmed by Polar yet" if is_pending else ""
    return f"claimed by delivery {claim.delivery_id} at {utc(claim.claimed_at)}{note}"


def _waiting(open_keys: Sequence[str], result: IngestionResult) -> _Decision:
    if retries := [result.later[key] for key in open_keys if key in result.later]:
        seconds, reason = max(retries)
        return _Decision(Status.WAITING, reason, after_seconds=seconds, strike=True)
    # A pause makes every worker wait, but does not change when the delivery is due.
    return _Decision(Status.WAITING, result.pause[1] if result.pause else "not sent yet")


def _rules_note(plan: Plan, standing: Standing, own: Sequence[Claim]) -> str:
    """Return a note that today's rules would grant something else; empty if they would not."""
    given = [
        grant
        for claim in own
        if not is_correction(claim.subject)
        for grant in (credited(standing) if claim is standing.own else claim.grants)
        if grant.units > 0
    ]
    if not given or given == [*plan.grants]:
        return ""
    others = {claim.subject for claim in (*standing.claims, *standing.elsewhere) if claim not in own}
    wanted = [grant for grant in plan.grants if grant.subject not in others]
    if given == wanted or credits_text(given) == credits_text(wanted):
        return ""
    return f", as claimed at {utc(own[0].claimed_at)}; today's rules say {credits_text(wanted)}"
