"""The amount that a rule grants on a meter: a number, or an expression that gives one.

CEL computes with binary doubles, so results are rounded: 0.1 + 0.2 gives 0.3, not 0.30000000000000004.
"""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

from config.cel.expressions import EvaluationError, Expression, Variables
from config.cel.numbers import CREDITS_LIMIT, MAX_DIGITS
from config.cel.redaction import describe_inputs, describe_result

# The last digits of a double are noise, because amounts are computed from hundredths or thousandths.
_STEP = Decimal("0.000000001")
_EXACT = Context(prec=40)
_ROUNDED = Context(prec=MAX_DIGITS, rounding=ROUND_HALF_EVEN)

Amount = Decimal | Expression


class AmountError(Exception):
    """An amount cannot be computed for a webhook; ``reason`` omits the expression and its values."""

    def __init__(self, expression: Expression, reason: str, values: str) -> None:
        """Take the expression, why it failed, and the values that it used."""
        super().__init__(f"{expression.display_text}: {reason}" + (f" ({values})" if values else ""))
        self.reason = reason


def evaluate_amount(expression: Expression, variables: Variables) -> Decimal:
    """Return the credits, 0 or more; AmountError names the expression and the values that it used."""
    try:
        result = _credits(expression, expression.value(variables))
    except EvaluationError as error:
        result = str(error)
    if isinstance(result, str):
        raise AmountError(expression, result, describe_inputs(expression, variables))
    return result


def to_exact_decimal(value: float) -> Decimal:
    """Return a number of credits as a decimal of at most 15 digits, at most 9 of them after the point."""
    if isinstance(value, int):
        return Decimal(value)
    rounded = Decimal(repr(value)).quantize(_STEP, rounding=ROUND_HALF_EVEN, context=_EXACT)
    return _ROUNDED.plus(rounded).normalize() + 0


def _credits(expression: Expression, value: object) -> Decimal | str:
    """Return a result as credits, or the reason why it is not a valid amount."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"it gives {describe_result(value, expression)}, which is not a number"
    if not math.isfinite(value) or abs(value) >= CREDITS_LIMIT:
        result = describe_result(value, expression)
        return f"it gives {result}; an amount must be less than {CREDITS_LIMIT:,}"
    credits_ = to_exact_decimal(value)
    if credits_ < 0:
        return f"it gives {describe_result(credits_, expression)}, and an amount cannot be negative"
    return credits_
