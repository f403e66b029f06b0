"""PURE: one delivery on its way: what it says, what is planned and frozen for it, how it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from config.rules import Rules
from workers.errors import UnreadableEventError
from workers.events import ORDER_PAID, Order, read_envelope, read_order
from workers.grants import Grant
from workers.ingesting import Ingested
from workers.planning import Plan, plan_order
from workers.records import Claim, Leased, Outcome, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A delivery, the order that it tells of, and the plan for it; or why there is none."""

    delivery: Leased
    order: Order | None = None
    plan: Plan | None = None
    skip: str = ""
    failure: str = ""


def open_case(delivery: Leased, rules: Rules) -> Case:
    """Read ``delivery`` and plan it by ``rules``."""
    try:
        if delivery.type != ORDER_PAID:
            type_ = read_envelope(delivery.body).type
            return Case(delivery=delivery, skip=f"{type_} leads to no credit in this version")
        order = read_order(delivery.body)
    except UnreadableEventError as error:
        return Case(delivery=delivery, failure=str(error))
    return Case(delivery=delivery, order=order, plan=plan_order(order, rules))


def conclude(case: Case, claim: Claim | None, makers: Mapping[str, str], done: Ingested) -> Outcome:
    """Return how ``case`` ends (or waits on), given what is frozen for it and what Polar took.

    ``makers`` maps the key of each grant that was open to the delivery that made it.
    """
    if case.failure:
        return _outcome(case, Status.FAILED, case.failure)
    if claim is None:
        return _unclaimed(case)
    open_keys = [grant.key for grant in claim.unsettled]
    if any(key not in done.accepted and key not in done.refused for key in open_keys):
        return _waiting(case, open_keys, done)
    refusals = {done.refused[key] for key in open_keys if key in done.refused}
    if refusals:
        return _outcome(case, Status.FAILED, f"refused by Polar: {'; '.join(sorted(refusals))}")
    own = claim.delivery_id == case.delivery.id
    if own or any(makers[key] == case.delivery.id for key in open_keys):
        return _outcome(case, Status.GRANTED, _granted(case.plan, claim))
    when = f"{claim.claimed_at:%Y-%m-%dT%H:%M:%SZ}"
    return _outcome(
        case, Status.SKIPPED, f"already granted: claimed by delivery {claim.delivery_id} at {when}"
    )


def credits_text(grants: Sequence[Grant]) -> str:
    """Return credits as people read them: ``10 api_usage, 0.5 images``."""
    return ", ".join(f"{plain(grant.units)} {grant.meter}" for grant in grants) or "nothing"


def plain(units: Decimal) -> str:
    """Return a number of credits without exponent or trailing zeros."""
    text = f"{units:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unclaimed(case: Case) -> Outcome:
    if case.plan is None:
        return _outcome(case, Status.SKIPPED, case.skip)
    if case.plan.failure:
        return _outcome(case, Status.FAILED, case.plan.failure)
    return _outcome(case, Status.SKIPPED, case.plan.skip)


def _waiting(case: Case, open_keys: Sequence[str], done: Ingested) -> Outcome:
    put_off = [done.later[key] for key in open_keys if key in done.later]
    if put_off:
        seconds, reason = max(put_off)
        return _outcome(case, Status.WAITING, reason, after_seconds=seconds, strike=True)
    # The pause keeps everybody waiting; the delivery itself is due as it was.
    return _outcome(case, Status.WAITING, done.pause[1] if done.pause else "not sent yet")


def _granted(plan: Plan | None, claim: Claim) -> str:
    """Say what was granted and, where today's rules differ, that it stands all the same."""
    frozen, planned = credits_text(claim.grants), credits_text(plan.grants if plan else ())
    if frozen == planned:
        return frozen
    return f"{frozen}, as claimed at {claim.claimed_at:%Y-%m-%dT%H:%M:%SZ}; today's rules say {planned}"


def _outcome(
    case: Case, status: Status, reason: str, *, after_seconds: float = 0, strike: bool = False
) -> Outcome:
    return Outcome(
        delivery_id=case.delivery.id,
        attempt=case.delivery.attempt,
        status=status,
        reason=reason,
        order_id=case.order.id if case.order else "",
        customer_id=case.order.customer_id if case.order else "",
        after_seconds=after_seconds,
        strike=strike,
    )
