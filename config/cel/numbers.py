"""The bounds of credits and of CEL's integers. This module does not load the CEL library."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# Polar stores amounts as JSON numbers, and a double represents any decimal of 15 digits exactly.
MAX_DIGITS = 15

# Twelve digits before the decimal point, so that sums stay exact in the 28 digits of Python's decimals.
CREDITS_LIMIT = Decimal(10**12)

_GREATEST_INT = 2**63 - 1


def bound_integers(value: Any) -> Any:
    """Return a JSON value with each integer that is too large for CEL's 64 bits as a double."""
    if isinstance(value, Mapping):
        return {key: bound_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bound_integers(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _GREATEST_INT:
        return float(value) if abs(value) < 10**300 else str(value)
    return value
