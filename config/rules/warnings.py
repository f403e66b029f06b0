"""What in a rule is no mistake for certain, yet worth a look: what its webhooks do not have."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, Union

from config.cel.conditions import Condition, ConditionError
from config.cel.expressions import NAMES, Expression
from config.cel.references import probed_references
from config.rules.model import Rule, Trigger
from config.rules.sample_check import FREE_FORM_FIELDS, lacks_variable, sample_variables
from config.wording import closest

# What may be below: nothing, for a number or a text; None where it cannot be told.
Fields = Mapping[str, Union["Fields", None]]

# Null where nobody sells by the seat, and on renewals the order's are null in any case.
_COUNTS = [(holder, count) for holder in ("order", "subscription") for count in ("seats", "units")]

# Prices and discounts have other fields for each of their kinds, and the samples do not have every kind.
_OPEN = FREE_FORM_FIELDS | {"product_price", "price", "discount"}


def find_warnings(expression: Expression, rule: Rule) -> Iterator[str]:
    """Yield what is doubtful about an amount or a condition of ``rule``."""
    yield from _unknown_fields(expression, rule.triggers)
    if rule.when is None or expression != rule.when.whole:
        yield from _failures(expression, rule)
        yield from _unguarded(expression, rule.when)


def _failures(amount: Expression, rule: Rule) -> Iterator[str]:
    """Yield for which triggers an amount fails for certain, as what it looks at belongs to another."""
    for trigger in sorted(rule.triggers):
        if lacks_variable(amount, trigger) and _holds(rule.when, trigger):
            so = "each would fail; give that trigger a rule of its own"
            yield f"on a {trigger} this amount cannot be worked out: {so}"


def _unguarded(amount: Expression, when: Condition | None) -> Iterator[str]:
    """Yield what an amount looks at though it is often missing or null, and neither asks for it."""
    asked = probed_references(amount.text, NAMES) + (when.whole.references if when else ())
    for reference in amount.references:
        if any(reference.keys == one.keys for one in asked):
            continue
        if reference.keys in _COUNTS:
            instead = reference.keys[1]
            yield f"{reference.text} is null on many orders, and such an order fails; write {instead} instead"
        elif not FREE_FORM_FIELDS.isdisjoint(reference.keys[:-1]):
            guard = "`when`" if "[" in reference.text else f"`when: has({reference.text})`"
            yield f"a webhook without {reference.text} fails; guard it with {guard}"


def _holds(condition: Condition | None, trigger: Trigger) -> bool:
    try:
        return condition is None or condition.holds(sample_variables(trigger))
    except ConditionError:
        return False


def _unknown_fields(expression: Expression, triggers: Collection[Trigger]) -> Iterator[str]:
    """Yield the fields that no webhook of ``triggers`` has, but those that ``has(...)`` asks for."""
    probed = {reference.keys for reference in probed_references(expression.text, NAMES)}
    known = _known_fields(frozenset(triggers))
    for reference in expression.references:
        keys = reference.keys
        depth, fields = _followed(keys, known)
        if depth < len(keys) and not any(keys[: len(each)] == each for each in probed):
            close = closest(keys[depth], fields)
            hint = f"; did you mean {'.'.join([*keys[:depth], close])}?" if close else ""
            whose = " or ".join(sorted(triggers))
            yield f"no {whose} that Polar sends has {'.'.join(keys[: depth + 1])}{hint}"


@cache
def _known_fields(triggers: frozenset[Trigger]) -> Fields | None:
    merged: Fields | None = None
    for trigger in triggers:
        merged = _merged(merged, _fields(sample_variables(trigger).values))
    return merged


def _followed(keys: tuple[str, ...], fields: Fields | None) -> tuple[int, Collection[str]]:
    """Return how many of ``keys`` lead somewhere, and what there is where the next one does not."""
    for depth, key in enumerate(keys):
        if fields is None:
            break
        if key not in fields:
            return depth, fields
        fields = fields[key]
    return len(keys), ()


def _fields(value: Any) -> Fields | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return {}
    return {key: None if key in _OPEN else _fields(each) for key, each in value.items()}


def _merged(one: Fields | None, other: Fields | None) -> Fields | None:
    if one is None or other is None:
        return other if one is None else one
    return {key: _merged(one.get(key), other.get(key)) for key in [*one, *other]}
