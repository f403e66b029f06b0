"""A rule's ``when``: whether it holds for a webhook, and which part of it is false."""

from dataclasses import dataclass, field

from config.cel.error_messages import readable_type
from config.cel.expressions import (
    Cause,
    EvaluationError,
    Expression,
    ExpressionError,
    Variables,
    compile_expression,
)
from config.cel.redaction import describe_inputs, describe_result
from config.cel.references import conjuncts


class ConditionError(Exception):
    """A condition is neither true nor false for a webhook, for a reason other than a missing field."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; ``parts`` are the operands of its outermost ``&&``, used to explain it."""

    whole: Expression
    parts: tuple[Expression, ...] = field(compare=False, repr=False)

    def holds(self, variables: Variables) -> bool:
        """Return whether the condition is true; a missing field or a null makes it false.

        ConditionError if it is neither true nor false for another reason.
        """
        try:
            return _truth(self.whole, variables)
        except EvaluationError:
            # One false part makes && false, whatever the others are. And the error of a part is more precise.
            parts = [self._part(part, variables) for part in self.parts]
        if error := next((part for part in parts if isinstance(part, EvaluationError)), None):
            if False in parts:
                return False
            raise self._error(str(error), variables)
        return all(parts)

    def explain_false(self, variables: Variables) -> str:
        """Return the first false part and the values that it used. If no part is false, use the whole."""
        failing = (part for part in self.parts if self._part(part, variables) is False)
        part = next(failing, self.whole)
        values = describe_inputs(part, variables)
        return f"{part.display_text} is false" + (f" ({values})" if values else "")

    def _part(self, part: Expression, variables: Variables) -> bool | EvaluationError:
        try:
            return _truth(part, variables)
        except EvaluationError as error:
            return False if error.cause is Cause.MISSING else error

    def _error(self, reason: str, variables: Variables) -> ConditionError:
        values = describe_inputs(self.whole, variables)
        return ConditionError(f"{self.whole.display_text}: {reason}" + (f" ({values})" if values else ""))


def _truth(expression: Expression, variables: Variables) -> bool:
    value = expression.value(variables)
    if value is None or isinstance(value, bool):
        return bool(value)
    reason = f"it gives {describe_result(value, expression)}, which is neither true nor false"
    raise EvaluationError(reason, Cause.MISMATCH)


def compile_condition(text: str) -> Condition:
    """Return ``text`` compiled; ExpressionError says why it cannot be a condition."""
    whole = compile_expression(text)
    if whole.kind not in ("BOOL", "DYN"):
        type_name = readable_type(whole.kind)
        raise ExpressionError(f"it gives a value of type {type_name}, which is neither true nor false")
    try:
        parts = tuple(map(compile_expression, conjuncts(text)))
    except ExpressionError:
        parts = (whole,)  # some texts are no longer valid CEL once they are split
    return Condition(whole, parts)
