"""A rule's ``when``: whether it holds for a webhook, and which part of it does not."""

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
    """A condition is neither true nor false for a webhook, and not for want of a field."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; ``parts`` are what its outermost ``&&`` join, for telling why."""

    whole: Expression
    parts: tuple[Expression, ...] = field(compare=False, repr=False)

    def holds(self, variables: Variables) -> bool:
        """Return whether it is true; where it meets a missing field or null it is false."""
        try:
            return _truth(self.whole, variables)
        except EvaluationError:
            # && is false where one part is, whatever befalls the others; and a part tells better what it met.
            parts = [self._part(part, variables) for part in self.parts]
        if fault := next((part for part in parts if isinstance(part, EvaluationError)), None):
            if False in parts:
                return False
            raise self._error(str(fault), variables)
        return all(parts)

    def explain_false(self, variables: Variables) -> str:
        """Return the first part that is false, where the whole is, and the values that it saw."""
        failing = (part for part in self.parts if self._part(part, variables) is False)
        part = next(failing, self.whole)
        values = describe_inputs(part, variables)
        return f"{part.display_text} is false" + (f" ({values})" if values else "")

    def _part(self, part: Expression, variables: Variables) -> bool | EvaluationError:
        try:
            return _truth(part, variables)
        except EvaluationError as error:
            return False if error.cause is Cause.MISSING else error

    def _error(self, words: str, variables: Variables) -> ConditionError:
        values = describe_inputs(self.whole, variables)
        return ConditionError(f"{self.whole.display_text}: {words}" + (f" ({values})" if values else ""))


def _truth(expression: Expression, variables: Variables) -> bool:
    value = expression.value(variables)
    if value is None or isinstance(value, bool):
        return bool(value)
    words = f"it gives {describe_result(value, expression)}, neither true nor false"
    raise EvaluationError(words, Cause.MISMATCH)


def compile_condition(text: str) -> Condition:
    """Return ``text`` compiled; ExpressionError says what is wrong with it."""
    whole = compile_expression(text)
    if whole.kind not in ("BOOL", "DYN"):
        raise ExpressionError(f"it gives a value of type {readable_type(whole.kind)}, neither true nor false")
    try:
        parts = tuple(map(compile_expression, conjuncts(text)))
    except ExpressionError:
        parts = (whole,)  # some text that is no more CEL once it is taken apart
    return Condition(whole, parts)
