"""What an amount and a condition in the rules file may be; knows nothing of rules as a whole."""

import re
from decimal import Decimal

from config.cel.amounts import CREDITS_LIMIT, MAX_DIGITS, Amount, AmountError, evaluate_amount
from config.cel.conditions import Condition, compile_condition
from config.cel.error_messages import readable_type
from config.cel.expressions import EvaluationError, Expression, ExpressionError, Variables, compile_expression
from config.rules.nodes import Node, NodeKind, Scalar, expected
from config.rules.problems import NodeError
from config.wording import quoted

# Twelve digits after the point, as many as there may be before it.
MIN_CREDITS = Decimal("0.000000000001")

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_NUMERIC = ("INT", "UINT", "DOUBLE", "DYN")


def amount(piece: Node) -> Amount:
    """Return a positive number of credits, exactly as written, or the expression that gives it."""
    if isinstance(piece, Scalar) and piece.kind is NodeKind.NUMBER:
        return _number(piece)
    if not isinstance(piece, Scalar) or piece.kind is not NodeKind.TEXT:
        raise expected("a number or an expression", piece)
    expression = _amount_expression(piece)
    return _constant(expression, piece) if expression.is_constant else expression


def condition(piece: Node) -> Condition:
    """Return a rule's compiled ``when``."""
    if not isinstance(piece, Scalar) or piece.kind not in {NodeKind.TEXT, NodeKind.BOOLEAN}:
        raise expected("an expression, such as order.net_amount >= 500", piece)
    if piece.kind is NodeKind.BOOLEAN:
        found = f"expected an expression, found the boolean {quoted(piece.text)}"
        hint = 'leave `when` out to mean always, or write "false" in quotes to switch the rule off'
        raise NodeError(piece.place, f"{found}; {hint}")
    try:
        compiled = compile_condition(piece.text)
        if compiled.whole.is_constant:
            compiled.whole.value(Variables())  # 1 / 0 > 1 is no question, whatever the webhook
    except (ExpressionError, EvaluationError) as error:
        raise NodeError(piece.place, str(error)) from None
    return compiled


def _number(piece: Scalar) -> Decimal:
    text = piece.text
    if not _PLAIN_NUMBER.fullmatch(text):
        # 1_000, 0x10, 010 (eight), 1:30 (ninety), .inf: numbers to YAML, riddles to a reader.
        raise expected("plain digits, such as 1000 or 0.5", piece)
    digits = len(text.replace(".", "").strip("-0"))
    if digits > MAX_DIGITS:
        raise NodeError(
            piece.place,
            f"{quoted(text)} has {digits} significant digits; at most {MAX_DIGITS} stay exact",
        )
    return _within_bounds(Decimal(text), piece)


def _within_bounds(credits_: Decimal, piece: Scalar) -> Decimal:
    if credits_ <= 0:
        raise expected("more than 0", piece)
    if credits_ < MIN_CREDITS:
        raise expected(f"at least {MIN_CREDITS:f}", piece)
    if credits_ >= CREDITS_LIMIT:
        raise expected(f"less than {CREDITS_LIMIT:,}", piece)
    return credits_


def _amount_expression(piece: Scalar) -> Expression:
    try:
        expression = compile_expression(piece.text)
    except ExpressionError as error:
        raise NodeError(piece.place, str(error)) from None
    if expression.kind not in _NUMERIC:
        kind = readable_type(expression.kind)
        raise NodeError(piece.place, f"it gives a value of type {kind}, which is no number")
    return expression


def _constant(expression: Expression, piece: Scalar) -> Decimal:
    """Return what an expression that looks at no webhook gives: the same for each of them."""
    try:
        credits_ = evaluate_amount(expression, Variables())
    except AmountError as error:
        raise NodeError(piece.place, error.words) from None
    if credits_ <= 0:
        raise NodeError(piece.place, "it gives 0; expected more than 0")
    return credits_
