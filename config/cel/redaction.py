"""Describes a webhook's values in logs and reasons: enough to see why, but nothing personal."""

from collections.abc import Mapping
from decimal import Decimal

from config.cel.expressions import MISSING, Expression, OpaqueValue, Variables
from config.cel.references import Reference
from config.wording import quoted

_MOST_INPUTS = 4

# These fields, and all fields inside them, are personal or typed by a customer, wherever they occur.
_PERSONAL = frozenset(
    {"billing_name", "public_name", "email", "tax_id", "avatar_url", "github_username", "billing_address",
     "custom_field_data", "customer_cancellation_comment"}
)  # fmt: skip
_PERSONAL_NAMES = (
    ("customer", "name"),
    ("user", "name"),
)  # the names of products and others are not personal


def describe_value(value: object) -> str:
    """Return a short description of a value from a webhook, such as ``the text 'usd'``."""
    if isinstance(value, str):
        return "a text with an @ (not shown)" if "@" in value else f"the text {quoted(value)}"
    if isinstance(value, OpaqueValue):
        return f"a value of type {value.kind}"
    if isinstance(value, int | float | Decimal):
        # Decimals have no exponent. Booleans are written as in CEL and JSON.
        return f"{value:f}" if isinstance(value, Decimal) else str(value).lower()
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return "missing" if value is MISSING else "null"


def describe_result(value: object, expression: Expression) -> str:
    """Return a short description of an expression's result; a text may be personal, so it is not shown."""
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float | Decimal) and any(map(_is_personal, expression.references)):
        return "a number computed from personal data (not shown)"
    return describe_value(value)


def describe_inputs(expression: Expression, variables: Variables) -> str:
    """Return the values that an expression used, such as ``order.net_amount is 300``; at most four."""
    inputs = expression.references[:_MOST_INPUTS]
    return ", ".join(f"{each.text} is {_describe_input(each, variables)}" for each in inputs)


def _describe_input(reference: Reference, variables: Variables) -> str:
    value = variables.at(reference)
    if isinstance(value, str | int | float) and _is_personal(reference):
        return "present (personal, not shown)"
    return describe_value(value)


def _is_personal(reference: Reference) -> bool:
    return not _PERSONAL.isdisjoint(reference.keys) or reference.keys[-2:] in _PERSONAL_NAMES
