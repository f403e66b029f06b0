"""Tries expressions on webhooks that Polar really sent, before a customer's webhook does."""

import json
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from config.cel.expressions import Cause, EvaluationError, Expression, Variables
from config.cel.redaction import describe_value
from config.rules.model import Trigger
from config.samples import read_sample

# What merchants and customers fill in as they like: nobody knows the types in there.
FREE_FORM_FIELDS = frozenset({"metadata", "custom_field_data"})


def find_amount_problem(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return why an amount could not be worked out on the webhooks of ``triggers``; nothing if it could."""
    misfit = _misfit(expression, triggers, _is_number, "which is no number")
    return misfit or _never(expression, triggers, "this amount can never be worked out")


def find_condition_problem(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return why a condition is no question, or never true, on the webhooks of ``triggers``."""
    misfit = _misfit(expression, triggers, _is_truth, "neither true nor false")
    return misfit or _never(expression, triggers, "this is never true")


def lacks_variable(expression: Expression, trigger: Trigger) -> bool:
    """Return whether it has no value for want of an order, a subscription or a product."""
    return bool(_lacking(expression, [trigger])) and _has_no_value(expression, trigger)


@cache
def sample_variables(trigger: Trigger) -> Variables:
    """Return what expressions see of a webhook for ``trigger``, with all that is free taken out."""
    data = _emptied(json.loads(read_sample(trigger.value))["data"])
    if trigger is Trigger.PERIOD:
        return Variables.of_subscription(data)
    return Variables.of_customer(data) if trigger is Trigger.CUSTOMER else Variables.of_order(data)


def _emptied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: {} if key in FREE_FORM_FIELDS else _emptied(each) for key, each in value.items()}
    return [_emptied(each) for each in value] if isinstance(value, list) else value


def _misfit(
    expression: Expression, triggers: Collection[Trigger], fits: Callable[[object], bool], otherwise: str
) -> str:
    """Return what is wrong with it by its types: all else depends on the customer's data."""
    for trigger in sorted(triggers):
        try:
            value = expression.value(sample_variables(trigger))
        except EvaluationError as error:
            if error.cause is Cause.MISMATCH:
                return f"on a {trigger}: {error}"
        else:
            if value is not None and not fits(value):
                return f"on a {trigger}: it gives {describe_value(value)}, {otherwise}"
    return ""


def _never(expression: Expression, triggers: Collection[Trigger], so: str) -> str:
    absent = _lacking(expression, triggers)
    if not absent or not all(_has_no_value(expression, trigger) for trigger in triggers):
        return ""
    return f"there is no {absent} on a {' or '.join(sorted(triggers))}: {so}"


def _lacking(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return the variable that it looks at and that is null on every webhook of ``triggers``."""
    seen = [sample_variables(trigger).values for trigger in triggers]
    names = (reference.keys[0] for reference in expression.references)
    return next((name for name in names if seen and all(each[name] is None for each in seen)), "")


def _has_no_value(expression: Expression, trigger: Trigger) -> bool:
    try:
        return expression.value(sample_variables(trigger)) is None
    except EvaluationError as error:
        return error.cause is Cause.MISSING


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)
