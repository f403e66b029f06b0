"""Reads single values of the rules file: amounts and conditions."""

import re
from decimal import Decimal

from config.cel.amounts import Amount, AmountError, evaluate_amount
from config.cel.conditions import Condition, compile_condition
from config.cel.error_messages import readable_type
from config.cel.expressions import EvaluationError, Expression, ExpressionError, Variables, compile_expression
from config.cel.numbers import CREDITS_LIMIT, MAX_DIGITS
from config.rules.nodes import Node, NodeKind, Scalar, expected
from config.rules.problems import NodeError
from config.wording import quoted

# Twelve digits after the decimal point, as many as are allowed before it.
MIN_CREDITS = Decimal("0.000000000001")

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_NUMERIC = ("INT", "UINT", "DOUBLE", "DYN")


def amount(node: Node) -> Amount:
    """Return an amount: a positive number exactly as written, or an expression.

    An expression that uses no variable is evaluated at once and returned as its number.
    """
    if isinstance(node, Scalar) and node.kind is NodeKind.NUMBER:
        return _number(node)
    if not isinstance(node, Scalar) or node.kind is not NodeKind.TEXT:
        raise expected("a number or an expression", node)
    expression = _amount_expression(node)
    return _constant(expression, node) if expression.is_constant else expression


def plain_amount(node: Node) -> Decimal:
    """Return an amount that is written as a positive number."""
    if not isinstance(node, Scalar) or node.kind is not NodeKind.NUMBER:
        raise expected("a number: an offer has no webhook for an expression to look at", node)
    return _number(node)


def condition(node: Node) -> Condition:
    """Return a rule's compiled ``when``."""
    if not isinstance(node, Scalar) or node.kind not in {NodeKind.TEXT, NodeKind.BOOLEAN}:
        raise expected("an expression, such as order.net_amount >= 500", node)
    if node.kind is NodeKind.BOOLEAN:
        found = f"expected an expression, found the boolean {quoted(node.text)}"
        hint = 'omit `when` to mean always, or write "false" in quotes to switch the rule off'
        raise NodeError(node.place, f"{found}; {hint}")
    try:
        compiled = compile_condition(node.text)
        if compiled.whole.is_constant:
            compiled.whole.value(Variables())  # 1 / 0 > 1 fails for every webhook
    except (ExpressionError, EvaluationError) as error:
        raise NodeError(node.place, str(error)) from None
    return compiled


def _number(node: Scalar) -> Decimal:
    text = node.text
    if not _PLAIN_NUMBER.fullmatch(text):
        # YAML also reads 1_000, 0x10, 010 (eight), 1:30 (ninety) and .inf as numbers; people may not.
        raise expected("plain digits, such as 1000 or 0.5", node)
    digits = len(text.replace(".", "").strip("-0"))
    if digits > MAX_DIGITS:
        raise NodeError(
            node.place,
            f"{quoted(text)} has {digits} significant digits; at most {MAX_DIGITS} stay exact",
        )
    return _within_bounds(Decimal(text), node)


def _within_bounds(credits_: Decimal, node: Scalar) -> Decimal:
    if credits_ <= 0:
        raise expected("more than 0", node)
    if credits_ < MIN_CREDITS:
        raise expected(f"at least {MIN_CREDITS:f}", node)
    if credits_ >= CREDITS_LIMIT:
        raise expected(f"less than {CREDITS_LIMIT:,}", node)
    return credits_


def _amount_expression(node: Scalar) -> Expression:
    try:
        expression = compile_expression(node.text)
    except ExpressionError as error:
        raise NodeError(node.place, str(error)) from None
    if expression.kind not in _NUMERIC:
        kind = readable_type(expression.kind)
        raise NodeError(node.place, f"it gives a value of type {kind}, which is not a number")
    return expression


def _constant(expression: Expression, node: Scalar) -> Decimal:
    """Return the value of an expression that uses no variable."""
    try:
        credits_ = evaluate_amount(expression, Variables())
    except AmountError as error:
        raise NodeError(node.place, error.reason) from None
    if credits_ <= 0:
        raise NodeError(node.place, "it gives 0; expected more than 0")
    return credits_
