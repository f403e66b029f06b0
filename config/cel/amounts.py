"""What a rule grants on a meter: a number, or an expression that gives one; never with binary dust."""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

from config.cel.expressions import EvaluationError, Expression, Variables
from config.cel.redaction import describe_inputs, describe_result

# Polar stores amounts as JSON numbers; a double keeps 15 digits exactly, and no more for certain.
MAX_DIGITS = 15

# Twelve digits before the point: sums of amounts stay exact in 28 digits.
CREDITS_LIMIT = Decimal(10**12)

# A double's last digits are noise: what it was computed from has hundredths or thousandths.
_STEP = Decimal("0.000000001")
_EXACT = Context(prec=40)
_KEPT = Context(prec=MAX_DIGITS, rounding=ROUND_HALF_EVEN)

Amount = Decimal | Expression


class AmountError(Exception):
    """An amount cannot be worked out for a webhook: ``words`` say why."""

    def __init__(self, expression: Expression, words: str, values: str) -> None:
        """Take what was to be worked out, and the values that it saw."""
        super().__init__(f"{expression.display_text}: {words}" + (f" ({values})" if values else ""))
        self.words = words


def evaluate_amount(amount: Amount, variables: Variables) -> Decimal:
    """Return the credits, 0 or more; AmountError names expression and values if it cannot be."""
    if isinstance(amount, Decimal):
        return amount
    try:
        found = _credits(amount, amount.value(variables))
    except EvaluationError as error:
        found = str(error)
    if isinstance(found, str):
        raise AmountError(amount, found, describe_inputs(amount, variables))
    return found


def to_exact_decimal(value: float) -> Decimal:
    """Return a number of credits as it was meant: to 15 digits, of which 9 stand after the point."""
    if isinstance(value, int):
        return Decimal(value)
    rounded = Decimal(repr(value)).quantize(_STEP, rounding=ROUND_HALF_EVEN, context=_EXACT)
    return _KEPT.plus(rounded).normalize() + 0


def _credits(expression: Expression, value: object) -> Decimal | str:
    """Return a result as credits, or why it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"it gives {describe_result(value, expression)}, which is no number"
    if not math.isfinite(value) or abs(value) >= CREDITS_LIMIT:
        return f"it gives {describe_result(value, expression)}; amounts stay below {CREDITS_LIMIT:,}"
    credits_ = to_exact_decimal(value)
    if credits_ < 0:
        return f"it gives {describe_result(credits_, expression)}, and amounts cannot be negative"
    return credits_
