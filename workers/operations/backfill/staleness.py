"""Finds the parts of a rule that depend on values which Polar's API shows only as of today.

An order that is read later shows its subscription as it is now, and refunds since then have changed the
order itself. The customer and the product are today's too, but they are not checked: a rule that reads
their metadata means the current values.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from config.cel.conditions import Condition, ConditionError
from config.cel.expressions import Expression
from config.cel.references import Reference
from config.rules import Rule, Rules
from workers.core.facts import Fact
from workers.core.planning import Obstacle, judge, why_never

# Every other field of a subscription may change, with its plan, period or end; even a trial may be added.
_CONSTANT_SUBSCRIPTION_FIELDS = frozenset({"id", "created_at", "customer_id", "checkout_id"})

_CHANGED_BY_REFUNDS = frozenset(
    {
        "modified_at",
        "refundable_amount",
        "refundable_tax_amount",
        "refunded_amount",
        "refunded_tax_amount",
        "status",
    }
)

_PERIOD = "subscription.current_period_start"

# Polar creates an order just after its period has begun, and we keep the times of a period in milliseconds.
_CREATION_DELAY = timedelta(seconds=1)

# These obstacles are found before any expression is evaluated, from fields of an order that never change.
_CONSTANT_OBSTACLES = (Obstacle.PRODUCT, Obstacle.TRIGGER, Obstacle.WINDOW)


def stale_fields(fact: Fact, rules: Rules) -> tuple[str, ...]:
    """Return the fields, as written in the rules, whose values may have changed since ``fact`` happened.

    Empty if today's values certainly give the same credit.
    """
    if why_never(fact, rules):
        return ()
    found = (text for rule in rules.rules for text in _fields_of(rule, fact))
    return tuple(dict.fromkeys(found))


def _fields_of(rule: Rule, fact: Fact) -> Iterator[str]:
    if judge(rule, fact).obstacle in _CONSTANT_OBSTACLES:
        return
    if rule.when is not None:
        if _was_false(rule.when, fact):
            return
        yield from _changing(rule.when.whole, fact)
    if rule.every and not _has_paid_the_period(fact):
        yield _PERIOD
    for amount in rule.grant.values():
        if isinstance(amount, Expression):
            yield from _changing(amount, fact)


def _has_paid_the_period(fact: Fact) -> bool:
    """Return whether the period that the subscription has today is the one that the order paid."""
    period = fact.period
    return period is not None and period.start <= fact.moment + _CREATION_DELAY and fact.moment < period.end


def _was_false(condition: Condition, fact: Fact) -> bool:
    """Return whether the condition was certainly false: one of its constant parts is false today."""
    constant = (part for part in condition.parts if not any(_changing(part, fact)))
    return any(_is_false(part, fact) for part in constant)


def _is_false(part: Expression, fact: Fact) -> bool:
    try:
        return not Condition(part, (part,)).holds(fact.variables)
    except ConditionError:
        return False


def _changing(expression: Expression, fact: Fact) -> Iterator[str]:
    return (one.text for one in expression.references if _changes(one, fact))


def _changes(reference: Reference, fact: Fact) -> bool:
    order: Mapping[str, Any] = fact.variables.values["order"]
    is_subscribed = order.get("subscription") is not None or order.get("subscription_id") is not None
    match reference.keys:
        case (("seats" | "units") as name,):
            return is_subscribed and order.get(name) is None
        case ("period_left",):
            return is_subscribed
        case ("subscription", *rest) | ("order", "subscription", *rest):
            return is_subscribed and not (rest and rest[0] in _CONSTANT_SUBSCRIPTION_FIELDS)
        case ("order",):  # the whole order, or a field of it that only evaluation would show
            return is_subscribed or fact.refund is not None
        case ("order", name, *_):
            return fact.refund is not None and name in _CHANGED_BY_REFUNDS
    return False
