"""The only user of CEL: compiles an expression, and works it out on what a webhook says.

https://github.com/google/cel-spec; the library is Google's own, docs/decisions/0006 says why.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, cast

from cel_expr_python import cel

from config.cel.error_messages import (
    ILL_FORMED,
    explain_compile_error,
    explain_evaluation_error,
    involves_null,
    readable_type,
)
from config.cel.references import Reference, one_line, references_in

MAX_CHARACTERS = 2_000  # characters; CEL bounds depth (32) and steps (10,000) itself
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # controls, halves of characters

_TYPES = {
    "order": cel.Type.DYN,
    "subscription": cel.Type.DYN,
    "customer": cel.Type.DYN,
    "product": cel.Type.DYN,
    "seats": cel.Type.INT,
    "units": cel.Type.INT,
}
NAMES = tuple(_TYPES)
_ENVIRONMENT = cel.NewEnv(variables=_TYPES)

_GREATEST_INT = 2**63 - 1
_READ = {cel.Type.BOOL.name(), cel.Type.INT.name(), cel.Type.UINT.name(), cel.Type.DOUBLE.name(),
         cel.Type.STRING.name()}  # fmt: skip


class Missing:
    """What stands where a webhook has nothing, not even null."""


MISSING = Missing()


class OpaqueValue(NamedTuple):
    """A value that is neither number, text, boolean nor null: only its kind is of interest."""

    kind: str


Value = bool | int | float | str | OpaqueValue | None


class Cause(StrEnum):
    """Why an expression has no value for a webhook."""

    MISSING = "missing"
    """A field is not there, or null."""
    MISMATCH = "mismatch"
    """Types that CEL does not put together (an int and a double), or a text that is no time or pattern."""
    OTHER = "other"
    """Anything else: a division by zero, a text that is no number, too many steps."""


class ExpressionError(ValueError):
    """The expression cannot be used; its words say why."""


class EvaluationError(Exception):
    """The expression has no value for this webhook."""

    def __init__(self, words: str, cause: Cause) -> None:
        super().__init__(words)
        self.cause = cause


class Variables:
    """What expressions see of one webhook."""

    def __init__(
        self, *, order: Any = None, subscription: Any = None, customer: Any = None, product: Any = None
    ) -> None:
        self._told = {"order": order, "subscription": subscription, "customer": customer, "product": product}

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Return the variables by name; worked out only where an expression asks."""
        holders = (self._told["order"], self._told["subscription"])
        return {**self._told, **{name: _count(name, *holders) for name in ("seats", "units")}}

    @classmethod
    def of_order(cls, data: Mapping[str, Any]) -> "Variables":
        """Return what expressions see of an ``order.*`` webhook's data."""
        return cls(
            order=data,
            subscription=data.get("subscription"),
            customer=data.get("customer"),
            product=data.get("product"),
        )

    @classmethod
    def of_subscription(cls, data: Mapping[str, Any]) -> "Variables":
        """Return what expressions see of a ``subscription.*`` webhook's data."""
        return cls(subscription=data, customer=data.get("customer"), product=data.get("product"))

    @classmethod
    def of_customer(cls, data: Mapping[str, Any]) -> "Variables":
        """Return what expressions see of a ``customer.*`` webhook's data."""
        return cls(customer=data)

    def at(self, reference: Reference) -> Any:
        """Return what stands at ``reference``: ``MISSING`` if nothing does, None for null."""
        value: Any = self.values
        for key in reference.keys:
            if value is None:
                return None  # a field of null is as absent as null
            value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
        return value

    @cached_property
    def activation(self) -> cel.Activation:
        """Return the variables as CEL reads them; converted once for all expressions."""
        return _ENVIRONMENT.Activation(self.values)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; two of the same text are equal."""

    text: str
    references: tuple[Reference, ...] = field(compare=False, repr=False)
    kind: str = field(compare=False)
    """CEL's name of the type of its value; ``DYN`` if only a webhook can tell."""
    program: cel.Expression = field(compare=False, repr=False)

    @property
    def display_text(self) -> str:
        """Return the text as it fits into a sentence."""
        return one_line(self.text)

    @property
    def is_constant(self) -> bool:
        """Return whether it gives the same for every webhook, for certain."""
        return not any(name in self.text for name in NAMES)

    def value(self, variables: Variables) -> Value:
        """Return the value for a webhook; EvaluationError if it has none."""
        try:
            result = self.program.eval(variables.activation)
        except RuntimeError as error:  # how the library tells of too many steps
            raise EvaluationError(explain_evaluation_error(self.text, str(error)), Cause.OTHER) from None
        kind = result.type().name()
        if kind == cel.Type.ERROR.name():
            raise self._error(str(result.value()), variables)
        if kind == cel.Type.NULL.name():
            return None  # by its type: the library's value() loses a reference to None each time
        return cast(Value, result.value()) if kind in _READ else OpaqueValue(readable_type(kind))

    def _error(self, words: str, variables: Variables) -> EvaluationError:
        said = explain_evaluation_error(self.text, words)
        if words.startswith("NOT_FOUND") or involves_null(words):
            return EvaluationError(said, Cause.MISSING)
        if any(kind in words for kind in ILL_FORMED):
            return EvaluationError(said, Cause.MISMATCH)
        if "No matching overloads" not in words and "Applying SELECT" not in words:
            return EvaluationError(said, Cause.OTHER)
        # Where the library does not tell the types, what it met may have been a null.
        is_told = "(" in words and "Applying SELECT" not in words
        cause = Cause.MISMATCH if is_told or not self._sees_nothing(variables) else Cause.MISSING
        return EvaluationError(said, cause)

    def _sees_nothing(self, variables: Variables) -> bool:
        return any(variables.at(one) in (None, MISSING) for one in self.references)


def compile_expression(text: str) -> Expression:
    """Return ``text`` compiled; ExpressionError says what is wrong with it."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"longer than {MAX_CHARACTERS:,} characters")
    if _UNREADABLE.search(text):
        raise ExpressionError("it holds a control character; remove it")
    try:
        program = _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        raise ExpressionError(explain_compile_error(text, str(error), NAMES)) from None
    return Expression(text, references_in(text, NAMES), program.return_type().name(), program)


def _count(name: str, *holders: Any) -> Any:
    """Return the first count that is given: a renewal's order has none, its subscription does.

    One that is no number is given all the same: to credit for 1 instead would be to credit too little.
    """
    for holder in holders:
        if isinstance(holder, dict) and (count := holder.get(name)) is not None:
            return count
    return 1


def bound_integers(value: Any) -> Any:
    """Return a JSON value with the integers that CEL's 64 bits do not hold made doubles."""
    if isinstance(value, Mapping):
        return {key: bound_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bound_integers(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _GREATEST_INT:
        return float(value) if abs(value) < 10**300 else str(value)
    return value
