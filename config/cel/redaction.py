"""What is told of the values in a webhook: enough to see why, and nothing personal."""

from collections.abc import Mapping
from decimal import Decimal

from config.cel.expressions import MISSING, Expression, OpaqueValue, Variables
from config.cel.references import Reference
from config.wording import quoted

_MOST_SHOWN = 4

# Wherever in a webhook these stand, they or what is below them is personal, or typed by a customer.
_PERSONAL = frozenset(
    {"billing_name", "public_name", "email", "tax_id", "avatar_url", "github_username", "billing_address",
     "custom_field_data", "customer_cancellation_comment"}
)  # fmt: skip
_NAMES = (("customer", "name"), ("user", "name"))  # other things have names too


def describe_value(value: object) -> str:
    """Return what stands in a webhook as people say it."""
    if isinstance(value, str):
        return "a text with an @ (not shown)" if "@" in value else f"the text {quoted(value)}"
    if isinstance(value, OpaqueValue):
        return f"a value of type {value.kind}"
    if isinstance(value, int | float | Decimal):
        # Booleans as CEL and JSON write them, credits without an exponent.
        return f"{value:f}" if isinstance(value, Decimal) else str(value).lower()
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    return "missing" if value is MISSING else "null"


def describe_result(value: object, expression: Expression) -> str:
    """Return what an expression gives; of a text nobody knows where it came from."""
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float | Decimal) and any(map(_is_personal, expression.references)):
        return "a number made of what is personal (not shown)"
    return describe_value(value)


def describe_inputs(expression: Expression, variables: Variables) -> str:
    """Return what an expression saw in a webhook: ``order.net_amount is 300``."""
    first_ones = expression.references[:_MOST_SHOWN]
    return ", ".join(f"{one.text} is {_seen(one, variables)}" for one in first_ones)


def _seen(reference: Reference, variables: Variables) -> str:
    value = variables.at(reference)
    if isinstance(value, str | int | float) and _is_personal(reference):
        return "there (personal, not shown)"
    return describe_value(value)


def _is_personal(reference: Reference) -> bool:
    return not _PERSONAL.isdisjoint(reference.keys) or reference.keys[-2:] in _NAMES
