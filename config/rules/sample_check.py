"""Evaluates expressions on recorded webhooks, so that a wrong type is found when the file is read."""

import json
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from config.cel.expressions import Cause, EvaluationError, Expression, Variables
from config.cel.redaction import describe_value
from config.rules.model import Trigger
from config.samples import read_sample

# Merchants and customers fill in these fields freely, so the types inside are unknown.
FREE_FORM_FIELDS = frozenset({"metadata", "custom_field_data"})


def find_amount_problem(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return why an amount cannot be computed on the samples of ``triggers``; empty if it can."""
    mismatch = _find_mismatch(expression, triggers, _is_number, "which is not a number")
    return mismatch or _find_absence(expression, triggers, "this amount can never be computed")


def find_condition_problem(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return why a condition is no boolean, or is never true, on the samples of ``triggers``; else empty."""
    mismatch = _find_mismatch(expression, triggers, _is_truth, "which is neither true nor false")
    return mismatch or _find_absence(expression, triggers, "this is never true")


def lacks_variable(expression: Expression, trigger: Trigger) -> bool:
    """Return whether an expression has no value because ``trigger`` lacks a variable that it uses."""
    return bool(_absent_variable(expression, [trigger])) and _has_no_value(expression, trigger)


@cache
def sample_variables(trigger: Trigger) -> Variables:
    """Return the variables of the sample for ``trigger``, with its free-form fields emptied."""
    data = _without_free_form(json.loads(read_sample(trigger.value))["data"])
    if trigger in {Trigger.SUBSCRIPTION, Trigger.PERIOD}:
        return Variables.of_subscription(data)
    return Variables.of_customer(data) if trigger is Trigger.CUSTOMER else Variables.of_order(data)


def _without_free_form(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: {} if key in FREE_FORM_FIELDS else _without_free_form(each) for key, each in value.items()
        }
    return [_without_free_form(each) for each in value] if isinstance(value, list) else value


def _find_mismatch(
    expression: Expression, triggers: Collection[Trigger], fits: Callable[[object], bool], otherwise: str
) -> str:
    """Return why a type is wrong on a sample. Other failures depend on a customer's data and do not count."""
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


def _find_absence(expression: Expression, triggers: Collection[Trigger], consequence: str) -> str:
    absent = _absent_variable(expression, triggers)
    if not absent or not all(_has_no_value(expression, trigger) for trigger in triggers):
        return ""
    return f"a {' or '.join(sorted(triggers))} has no {absent}: {consequence}"


def _absent_variable(expression: Expression, triggers: Collection[Trigger]) -> str:
    """Return the first variable that the expression uses and that is null for all ``triggers``, if any."""
    samples = [sample_variables(trigger).values for trigger in triggers]
    names = (reference.keys[0] for reference in expression.references)
    return next((name for name in names if samples and all(each[name] is None for each in samples)), "")


def _has_no_value(expression: Expression, trigger: Trigger) -> bool:
    try:
        return expression.value(sample_variables(trigger)) is None
    except EvaluationError as error:
        return error.cause is Cause.MISSING


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)
