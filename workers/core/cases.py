"""PURE: one delivery on its way: what it says, what is planned and claimed for it, how it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.rules import Rules
from workers.core.claims import Claim, Standing
from workers.core.delivery import Leased, Outcome, Status
from workers.core.envelope import ORDER_REFUNDED, read_envelope
from workers.core.facts import Fact, fact_of
from workers.core.grants import order_subject
from workers.core.manual import BY_HAND, MANUAL_GRANT, MANUAL_REVOKE
from workers.core.pauses import PauseCause
from workers.core.payloads import read_order
from workers.core.planning import Plan, plan_for
from workers.core.refunds import refund_of
from workers.core.takebacks import nothing_to_take
from workers.core.wording import credits_text, utc
from workers.errors import UnreadableEventError


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDelivery:
    """What the rules make of a delivery: a plan, or why there is none (``skip`` or ``failure``)."""

    type: str
    fact: Fact | None = None
    """What the rules were asked about; None for a refund, a manual grant, and what rules cannot credit."""
    plan: Plan | None = None
    skip: str = ""
    failure: str = ""

    @property
    def takes_back(self) -> bool:
        """Return whether it can only take credits back."""
        return self.type in {ORDER_REFUNDED, MANUAL_REVOKE}

    @property
    def is_by_hand(self) -> bool:
        """Return whether a person granted these credits, not a webhook."""
        return self.type == MANUAL_GRANT


@dataclass(frozen=True, kw_only=True, slots=True)
class Case(PlannedDelivery):
    """A planned delivery in a worker's hands."""

    delivery: Leased


@dataclass(kw_only=True, slots=True)
class Ingested:
    """What came of a round, by the grants' keys; what stands nowhere was not sent or not answered."""

    accepted: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    later: dict[str, tuple[float, str]] = field(default_factory=dict)
    pause: tuple[float, str] | None = None
    cause: PauseCause = PauseCause.UNAVAILABLE
    """Why there is a pause, where there is one."""


def open_case(delivery: Leased, rules: Rules) -> Case:
    """Read a leased delivery and plan it by ``rules``."""
    planned = plan_delivery(delivery.type, delivery.body, rules)
    return Case(
        delivery=delivery,
        type=planned.type,
        fact=planned.fact,
        plan=planned.plan,
        skip=planned.skip,
        failure=planned.failure,
    )


def plan_delivery(type_: str, body: bytes, rules: Rules) -> PlannedDelivery:
    """Read the body of a delivery and plan it by ``rules``."""
    try:
        if type_ == ORDER_REFUNDED:
            return PlannedDelivery(type=type_, plan=refund_plan(body))
        if type_ in BY_HAND:
            return PlannedDelivery(type=type_, plan=BY_HAND[type_](body))
        fact = fact_of(type_, body)
        if fact is None:
            skip = f"{read_envelope(body).type} leads to no credit: it is ignored"
            return PlannedDelivery(type=type_, skip=skip)
    except UnreadableEventError as error:
        return PlannedDelivery(type=type_, failure=str(error))
    return PlannedDelivery(type=type_, fact=fact, plan=plan_for(fact, rules))


def refund_plan(body: bytes) -> Plan:
    """Return the plan of an ``order.refunded``: it grants nothing, and notes the refund."""
    order = read_order(body).view
    return Plan(
        subject=order_subject(order.id),
        customer_id=order.customer_id,
        order_id=order.id,
        refund=refund_of(order),
    )


def conclude(case: Case, standing: Standing | None, makers: Mapping[str, str], done: Ingested) -> Outcome:
    """Return how ``case`` ends (or waits on), given what stands for it and what Polar took.

    ``makers`` maps the key of each grant that was open to the delivery that made it.
    """
    if case.failure or standing is None or case.plan is None:
        return _outcome(case, Status.FAILED if case.failure else Status.SKIPPED, case.failure or case.skip)
    open_keys = [grant.key for claim in standing.claims for grant in claim.unsettled]
    if any(key not in done.accepted and key not in done.refused for key in open_keys):
        return _waiting(case, open_keys, done)
    refusals = {done.refused[key] for key in open_keys if key in done.refused}
    if refusals:
        return _outcome(case, Status.FAILED, f"refused by Polar: {'; '.join(sorted(refusals))}")
    if case.is_by_hand and (words := other_amount(case, standing)):
        return _outcome(case, Status.FAILED, words)
    mine = [claim for claim in standing.claims if _is_by(case, claim, makers)]
    if mine:
        text = credits_text([grant for claim in mine for grant in claim.grants])
        return _outcome(case, Status.GRANTED, text + _differs(case, case.plan, standing, mine))
    return _unclaimed(case, case.plan, standing, done)


def other_amount(case: PlannedDelivery, standing: Standing) -> str:
    """Return why what is asked by hand cannot be: its key stands for another amount; nothing if it can."""
    if case.plan is None or standing.own is None:
        return ""
    frozen, asked = credits_text(standing.own.grants), credits_text(case.plan.grants)
    if frozen == asked:
        return ""
    at = utc(standing.own.claimed_at)
    return f"by this key {frozen} was granted at {at}; another amount needs another key"


def _is_by(case: Case, claim: Claim, makers: Mapping[str, str]) -> bool:
    own = claim.delivery_id == case.delivery.id
    return bool(claim.grants) and (
        own or any(makers.get(grant.key) == case.delivery.id for grant in claim.unsettled)
    )


def _unclaimed(case: Case, plan: Plan, standing: Standing, done: Ingested) -> Outcome:
    """Return the end of a delivery that made nothing: what it is about was credited before, or is not."""
    if case.takes_back:
        return _outcome(case, Status.SKIPPED, nothing_to_take(plan, standing))
    if earlier := [claim for claim in standing.claims if claim.grants]:
        return _outcome(case, Status.SKIPPED, f"already granted: {_claimed(earlier[0], done)}")
    if plan.failure:
        return _outcome(case, Status.FAILED, plan.failure)
    if standing.elsewhere:
        rule = ", ".join(standing.elsewhere[0].grants[0].rules)
        words = f"already granted to this customer by rule {rule}: {_claimed(standing.elsewhere[0], done)}"
        return _outcome(case, Status.SKIPPED, words)
    if plan.grants:  # and yet nothing was frozen
        return _outcome(case, Status.WAITING, "another worker has taken it over")
    return _outcome(case, Status.SKIPPED, plan.skip)


def _claimed(claim: Claim, done: Ingested) -> str:
    left = any(grant.key not in done.accepted for grant in claim.unsettled)
    sent = ", which Polar has not taken yet" if left else ""
    return f"claimed by delivery {claim.delivery_id} at {utc(claim.claimed_at)}{sent}"


def _waiting(case: Case, open_keys: Sequence[str], done: Ingested) -> Outcome:
    put_off = [done.later[key] for key in open_keys if key in done.later]
    if put_off:
        seconds, reason = max(put_off)
        return _outcome(case, Status.WAITING, reason, after_seconds=seconds, strike=True)
    # The pause keeps everybody waiting; the delivery itself is due as it was.
    return _outcome(case, Status.WAITING, done.pause[1] if done.pause else "not sent yet")


def _differs(case: Case, plan: Plan, standing: Standing, mine: Sequence[Claim]) -> str:
    """Say, where today's rules differ from what is frozen, that it stands all the same."""
    given = tuple(grant for claim in mine for grant in claim.grants if grant.units > 0)
    if case.takes_back or not given or given == plan.grants:
        return ""  # rules have no say in a refund any more
    others = {claim.subject for claim in (*standing.claims, *standing.elsewhere) if claim not in mine}
    planned = tuple(grant for grant in plan.grants if grant.subject not in others)
    if given == planned or credits_text(given) == credits_text(planned):
        return ""
    return f", as claimed at {utc(mine[0].claimed_at)}; today's rules say {credits_text(planned)}"


def _outcome(
    case: Case, status: Status, reason: str, *, after_seconds: float = 0, strike: bool = False
) -> Outcome:
    plan = case.plan
    return Outcome(
        delivery_id=case.delivery.id,
        attempt=case.delivery.attempt,
        status=status,
        reason=reason,
        subject=plan.subject if plan else "",
        order_id=(plan.order_id or "") if plan else "",
        customer_id=plan.customer_id if plan else "",
        after_seconds=after_seconds,
        strike=strike,
    )
