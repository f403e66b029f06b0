"""The only user of the CEL library: compiles expressions and evaluates them for a webhook.

https://github.com/google/cel-spec defines CEL; docs/decisions/0006 says why the library is Google's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, cast

from cel_expr_python import cel

from config.cel.error_messages import (
    MALFORMED,
    explain_compile_error,
    explain_evaluation_error,
    involves_null,
    readable_type,
)
from config.cel.references import Reference, one_line, references_in

MAX_CHARACTERS = 2_000  # CEL itself limits depth (32) and steps (10,000)
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # controls, lone surrogates

_TYPES = {
    "order": cel.Type.DYN,
    "subscription": cel.Type.DYN,
    "customer": cel.Type.DYN,
    "product": cel.Type.DYN,
    "seats": cel.Type.INT,
    "units": cel.Type.INT,
    "period_left": cel.Type.DOUBLE,
}
NAMES = tuple(_TYPES)
_ENVIRONMENT = cel.NewEnv(variables=_TYPES)

_PLAIN_TYPES = {
    plain.name() for plain in (cel.Type.BOOL, cel.Type.INT, cel.Type.UINT, cel.Type.DOUBLE, cel.Type.STRING)
}


class Missing:
    """The type of ``MISSING``, the value of a field that a webhook lacks. A null field is not missing."""


MISSING = Missing()


class OpaqueValue(NamedTuple):
    """A value that is neither a number, text, boolean nor null; only its type is kept."""

    kind: str


Value = bool | int | float | str | OpaqueValue | None


class Cause(StrEnum):
    """Why an expression has no value for a webhook."""

    MISSING = "missing"
    """A field is missing or null."""
    MISMATCH = "mismatch"
    """The types do not match (an int and a double), or a text is not a valid time or pattern."""
    OTHER = "other"
    """Anything else: a division by zero, a text that is not a number, too many steps."""


class ExpressionError(ValueError):
    """The expression does not compile; the message says why."""


class EvaluationError(Exception):
    """The expression has no value for this webhook."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class Variables:
    """The variables that expressions can use for one webhook."""

    def __init__(
        self, *, order: Any = None, subscription: Any = None, customer: Any = None, product: Any = None
    ) -> None:
        self._objects = {
            "order": order,
            "subscription": subscription,
            "customer": customer,
            "product": product,
        }

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Return the variables by name; computed when an expression first needs them."""
        order, subscription = self._objects["order"], self._objects["subscription"]
        counts = {name: _count(name, order, subscription) for name in ("seats", "units")}
        return {**self._objects, **counts, "period_left": _period_left(order, subscription)}

    @classmethod
    def of_order(cls, data: Mapping[str, Any]) -> "Variables":
        """Return the variables for the data of an ``order.*`` webhook."""
        return cls(
            order=data,
            subscription=data.get("subscription"),
            customer=data.get("customer"),
            product=data.get("product"),
        )

    @classmethod
    def of_subscription(cls, data: Mapping[str, Any]) -> "Variables":
        """Return the variables for the data of a ``subscription.*`` webhook."""
        return cls(subscription=data, customer=data.get("customer"), product=data.get("product"))

    @classmethod
    def of_customer(cls, data: Mapping[str, Any]) -> "Variables":
        """Return the variables for the data of a ``customer.*`` webhook."""
        return cls(customer=data)

    def at(self, reference: Reference) -> Any:
        """Return the value at ``reference``: ``MISSING`` if there is none, None for null."""
        value: Any = self.values
        for key in reference.keys:
            if value is None:
                return None  # a field of null counts as null
            value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
        return value

    @cached_property
    def activation(self) -> cel.Activation:
        """Return the variables in CEL's form; converted once for all expressions."""
        return _ENVIRONMENT.Activation(self.values)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; expressions with the same text are equal."""

    text: str
    references: tuple[Reference, ...] = field(compare=False, repr=False)
    kind: str = field(compare=False)
    """CEL's name for the type of the value; ``DYN`` if it depends on the webhook."""
    program: cel.Expression = field(compare=False, repr=False)

    @property
    def display_text(self) -> str:
        """Return the text on one line, for use in a message."""
        return one_line(self.text)

    @property
    def is_constant(self) -> bool:
        """Return whether the value is certain to be the same for every webhook."""
        return not any(name in self.text for name in NAMES)

    def value(self, variables: Variables) -> Value:
        """Return the value for a webhook; EvaluationError if it has none."""
        try:
            result = self.program.eval(variables.activation)
        except RuntimeError as error:  # the library raises this for too many steps
            raise EvaluationError(explain_evaluation_error(self.text, str(error)), Cause.OTHER) from None
        kind = result.type().name()
        if kind == cel.Type.ERROR.name():
            raise self._error(str(result.value()), variables)
        if kind == cel.Type.NULL.name():
            return None  # decided by type: each call of value() on a null loses a reference to None
        return cast(Value, result.value()) if kind in _PLAIN_TYPES else OpaqueValue(readable_type(kind))

    def _error(self, cel_error: str, variables: Variables) -> EvaluationError:
        message = explain_evaluation_error(self.text, cel_error)
        if cel_error.startswith("NOT_FOUND") or involves_null(cel_error):
            return EvaluationError(message, Cause.MISSING)
        if any(kind in cel_error for kind in MALFORMED):
            return EvaluationError(message, Cause.MISMATCH)
        if "No matching overloads" not in cel_error and "Applying SELECT" not in cel_error:
            return EvaluationError(message, Cause.OTHER)
        # If the library does not name the types, one of them may have been null.
        names_types = "(" in cel_error and "Applying SELECT" not in cel_error
        is_mismatch = names_types or not self._uses_absent_field(variables)
        return EvaluationError(message, Cause.MISMATCH if is_mismatch else Cause.MISSING)

    def _uses_absent_field(self, variables: Variables) -> bool:
        return any(variables.at(each) in (None, MISSING) for each in self.references)


def compile_expression(text: str) -> Expression:
    """Return ``text`` compiled; ExpressionError says why it does not compile."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"longer than {MAX_CHARACTERS:,} characters")
    if _UNREADABLE.search(text):
        raise ExpressionError("it contains a control character; remove it")
    try:
        program = _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        raise ExpressionError(explain_compile_error(text, str(error), NAMES)) from None
    return Expression(text, references_in(text, NAMES), program.return_type().name(), program)


def _count(name: str, *holders: Any) -> Any:
    """Return the first count that is set, else 1. A renewal's order has none, but its subscription does.

    A count that is not a number is returned too, because 1 in its place could credit too little.
    """
    for holder in holders:
        if isinstance(holder, dict) and (count := holder.get(name)) is not None:
            return count
    return 1


def _period_left(order: Any, subscription: Any) -> Any:
    """Return which share of the subscription's period is left when the order is created; 1 without a period.

    None if the times cannot be read: an amount then fails, because 1 could credit too much.
    """
    if not isinstance(order, Mapping) or not isinstance(subscription, Mapping):
        return 1.0
    start, end = subscription.get("current_period_start"), subscription.get("current_period_end")
    if start is None or end is None:
        return 1.0
    try:
        begun, ends, created = map(datetime.fromisoformat, (start, end, order["created_at"]))
        return min(1.0, max(0.0, (ends - created) / (ends - begun)))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
