"""Finds likely mistakes in expressions: fields that a rule's webhooks always or often lack."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Union

from config.cel.conditions import Condition, ConditionError
from config.cel.expressions import NAMES, Expression
from config.cel.references import probed_references
from config.rules.model import Rule, Trigger
from config.rules.sample_check import FREE_FORM_FIELDS, lacks_variable, sample_variables
from config.rules.vocabulary import find_foreign_constants
from config.wording import closest

_FAR = timedelta(days=5 * 366)

# The fields inside a field: empty for a number or a text, None if they are unknown.
Fields = Mapping[str, Union["Fields", None]]

# Null unless the product is sold by the seat or unit, and always null on the orders of renewals.
_COUNTS = [(holder, count) for holder in ("order", "subscription") for count in ("seats", "units")]

# The fields of prices and discounts differ by kind, and the samples do not cover every kind.
_UNKNOWN_BELOW = FREE_FORM_FIELDS | {"product_price", "price", "discount"}


def find_warnings(expression: Expression, rule: Rule) -> Iterator[str]:
    """Yield a warning for each likely mistake in an amount or the condition of ``rule``."""
    yield from _unknown_fields(expression, rule.effective_triggers)
    yield from find_foreign_constants(expression)
    if rule.when is None or expression != rule.when.whole:
        yield from _certain_failures(expression, rule)
        yield from _unguarded_fields(expression, rule.when)


def window_warnings(
    begins: datetime | None, ends: datetime | None, now: datetime, *, over: str
) -> Iterator[tuple[str, str]]:
    """Yield a window's key and a warning: ``over`` if it is in the past, or that a year looks mistyped."""
    far = now + _FAR
    if ends is not None and begins is not None and begins >= ends:
        return  # an unreadable or empty window is reported already
    if ends is not None and ends <= now:
        yield "until", over
    for key, moment in (("from", begins), ("until", ends)):
        if moment is not None and moment > far:
            yield key, "this time is more than five years away: is the year right?"


def _certain_failures(amount: Expression, rule: Rule) -> Iterator[str]:
    """Yield a warning for each trigger on which an amount always fails, because a variable is absent."""
    for trigger in sorted(rule.effective_triggers):
        if lacks_variable(amount, trigger) and _may_hold(rule.when, trigger):
            consequence = "each of these deliveries would fail; give that trigger a rule of its own"
            yield f"this amount cannot be computed on a {trigger}: {consequence}"


def _unguarded_fields(amount: Expression, when: Condition | None) -> Iterator[str]:
    """Yield a warning for each field of an amount that is often missing or null, and is not checked."""
    checked = probed_references(amount.text, NAMES) + (when.whole.references if when else ())
    for reference in amount.references:
        if any(reference.keys == one.keys for one in checked):
            continue
        if reference.keys in _COUNTS:
            instead = reference.keys[1]
            consequence = f"and their deliveries would fail; write {instead} instead"
            yield f"{reference.text} is null on many orders, {consequence}"
        elif not FREE_FORM_FIELDS.isdisjoint(reference.keys[:-1]):
            guard = "`when`" if "[" in reference.text else f"`when: has({reference.text})`"
            yield f"a webhook without {reference.text} fails; guard it with {guard}"


def _may_hold(condition: Condition | None, trigger: Trigger) -> bool:
    try:
        return condition is None or condition.holds(sample_variables(trigger))
    except ConditionError:
        return False


def _unknown_fields(expression: Expression, triggers: Collection[Trigger]) -> Iterator[str]:
    """Yield a warning for each field that no webhook of ``triggers`` has, unless ``has(...)`` checks it."""
    probed = {reference.keys for reference in probed_references(expression.text, NAMES)}
    known = _known_fields(frozenset(triggers))
    for reference in expression.references:
        keys = reference.keys
        depth, fields = _follow(keys, known)
        if depth < len(keys) and not any(keys[: len(each)] == each for each in probed):
            close = closest(keys[depth], fields)
            hint = f"; did you mean {'.'.join([*keys[:depth], close])}?" if close else ""
            names = " or ".join(sorted(triggers))
            yield f"no {names} that Polar sends has {'.'.join(keys[: depth + 1])}{hint}"


@cache
def _known_fields(triggers: frozenset[Trigger]) -> Fields | None:
    merged: Fields | None = None
    for trigger in triggers:
        merged = _merge(merged, _fields(sample_variables(trigger).values))
    return merged


def _follow(keys: tuple[str, ...], fields: Fields | None) -> tuple[int, Collection[str]]:
    """Return how many of ``keys`` lead to a known field, and the fields that exist where they stop."""
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
    return {key: None if key in _UNKNOWN_BELOW else _fields(each) for key, each in value.items()}


def _merge(one: Fields | None, other: Fields | None) -> Fields | None:
    if one is None or other is None:
        return other if one is None else one
    return {key: _merge(one.get(key), other.get(key)) for key in [*one, *other]}
