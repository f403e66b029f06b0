"""Reads the sums that Polar adds up as binary floats, such as balances."""

import math
from decimal import Decimal
from typing import Any

from workers.errors import PolarUnreachableError

_DECIMALS = 9  # more than any fraction of ours has, and long before what a float adds


def read_sum(number: Any) -> Decimal:
    """Return a sum, rounded to nine decimals: -1.4e-14 is 0. PolarUnreachableError if there is none."""
    is_number = type(number) is int or (isinstance(number, float) and math.isfinite(number))
    if not is_number:
        raise PolarUnreachableError("Polar's answer has no number where it should have a sum")
    exact = Decimal(str(number))
    decimals = -int(exact.as_tuple().exponent)
    rounded = round(exact, _DECIMALS).normalize() if decimals > _DECIMALS else exact
    return rounded or Decimal(0)  # a zero without a sign
