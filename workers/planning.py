"""PURE: what the rules make of a paid order. Reads no clock and no store, logs nothing."""

from dataclasses import dataclass
from datetime import UTC

from config.rules import MOST_DIGITS, Rule, Rules, Trigger
from workers.events import Order
from workers.grants import Grant, Part, order_subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The grants that a webhook leads to, or why there are none: a skip, or a failure to work them out."""

    subject: str
    grants: tuple[Grant, ...] = ()
    skip: str = ""
    failure: str = ""


def plan_order(order: Order, rules: Rules) -> Plan:
    """Return what every matching rule grants for ``order``: one grant a meter, rules added up."""
    subject = order_subject(order.id)
    trigger = trigger_of(order)
    reason = _never(order, rules, trigger)
    if reason or trigger is None:
        return Plan(subject=subject, skip=reason)
    matching = [rule for rule in rules.rules if _matches(rule, order, trigger)]
    if not matching:
        return Plan(subject=subject, skip=_no_match(order, trigger, rules))
    grants = _grants(subject, order.customer_id, matching, rules)
    if failure := "; ".join(filter(None, map(_inexact, grants))):
        return Plan(subject=subject, failure=failure)
    return Plan(subject=subject, grants=grants)


def trigger_of(order: Order) -> Trigger | None:
    """Return what kind of paid order this is; None for a final invoice or a reason unknown to us."""
    if order.is_final_invoice:
        return None
    if order.is_trial_start:
        return Trigger.TRIAL_START
    try:
        return Trigger(order.billing_reason)
    except ValueError:
        return None


def _never(order: Order, rules: Rules, trigger: Trigger | None) -> str:
    if order.is_final_invoice:
        return "final invoice of an ended subscription: never credited"
    if trigger is None:
        return f"billing reason {order.billing_reason!r} is none that rules can name"
    if rules.credit_from is not None and order.created_at < rules.credit_from:
        created = order.created_at.astimezone(UTC)
        return f"created {created:%Y-%m-%dT%H:%M:%SZ}, before credit_from"
    return ""


def _matches(rule: Rule, order: Order, trigger: Trigger) -> bool:
    return trigger in rule.triggers and (rule.products is None or order.product_id in rule.products)


def _no_match(order: Order, trigger: Trigger, rules: Rules) -> str:
    product = order.product_id or "(none)"
    if any(rule.products is None or order.product_id in rule.products for rule in rules.rules):
        return f"no rule for product {product} has the trigger {trigger}"
    return f"no rule names product {product}"


def _inexact(grant: Grant) -> str:
    """Say so where rules add up to more digits than Polar's numbers keep; one rule alone cannot."""
    if len(grant.units.normalize().as_tuple().digits) <= MOST_DIGITS:
        return ""
    return f"rules {', '.join(grant.rules)} add up to {grant.units:f} {grant.meter}: too many digits"


def _grants(subject: str, customer_id: str, matching: list[Rule], rules: Rules) -> tuple[Grant, ...]:
    parts: dict[str, list[Part]] = {}
    for rule in matching:
        for meter, units in rule.grant.items():
            parts.setdefault(meter, []).append(Part(rule=rule.name, units=units))
    return tuple(
        Grant(
            subject=subject,
            customer_id=customer_id,
            meter=meter,
            property_name=rules.meters[meter].property,
            parts=tuple(shares),
        )
        for meter, shares in sorted(parts.items())
    )
