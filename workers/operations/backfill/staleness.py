"""PURE: what of a rule rests on things that Polar's API shows as they are today, not as they were.

An order that is read afterwards comes with its subscription of now; refunds since have changed the order
itself. Its customer and its product are today's as well: that is not looked into, for rules that ask for
their metadata mean what stands there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from config.cel.conditions import Condition, ConditionError
from config.cel.expressions import Expression
from config.cel.references import Reference
from config.rules import Rule, Rules
from workers.core.facts import Fact
from workers.core.planning import Obstacle, judge, never

# All else of a subscription changes: with its plan, its periods, its end; even a trial may be added later.
_STAYS = frozenset({"id", "created_at", "customer_id", "checkout_id"})

_MOVED_BY_REFUNDS = frozenset(
    {
        "modified_at",
        "refundable_amount",
        "refundable_tax_amount",
        "refunded_amount",
        "refunded_tax_amount",
        "status",
    }
)

# What decides before any expression is asked: of an order these stay.
_SETTLED_BEFORE = (Obstacle.PRODUCT, Obstacle.TRIGGER, Obstacle.WINDOW)


def stale_fields(fact: Fact, rules: Rules) -> tuple[str, ...]:
    """Return, as the rules have them, the fields by which ``fact`` may have come to another credit then."""
    if never(fact, rules):
        return ()
    found = (text for rule in rules.rules for text in _of_rule(rule, fact))
    return tuple(dict.fromkeys(found))


def _of_rule(rule: Rule, fact: Fact) -> Iterator[str]:
    if judge(rule, fact).obstacle in _SETTLED_BEFORE:
        return
    if rule.when is not None:
        if _was_false(rule.when, fact):
            return
        yield from _changing(rule.when.whole, fact)
    for amount in rule.grant.values():
        if isinstance(amount, Expression):
            yield from _changing(amount, fact)


def _was_false(condition: Condition, fact: Fact) -> bool:
    """Say whether a part of it that stays is false: it was so then, whatever the others were."""
    steady = (part for part in condition.parts if not any(_changing(part, fact)))
    return any(_is_false(part, fact) for part in steady)


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
        case ("subscription", *rest) | ("order", "subscription", *rest):
            return is_subscribed and not (rest and rest[0] in _STAYS)
        case ("order",):  # some way in that cannot be followed
            return is_subscribed or fact.refund is not None
        case ("order", name, *_):
            return fact.refund is not None and name in _MOVED_BY_REFUNDS
    return False
