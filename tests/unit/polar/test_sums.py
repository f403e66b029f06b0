"""A sum of Polar's is a binary float; we show it to nine decimals, and zero without a sign."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.wording import plain
from workers.errors import PolarUnreachableError
from workers.polar.sums import read_sum


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (50, "50"),
        (50.0, "50"),
        (-14.210854715202004e-15, "0"),
        (-0.0, "0"),
        (1e-14, "0"),
        (0.1 + 0.1 + 0.1, "0.3"),
        (80.04 - 26.679999, "53.360001"),
        (-2.5, "-2.5"),
        (10**400, f"1{'0' * 400}"),
        (1e22, "10000000000000000000000"),
        (1.7976931348623157e308, f"17976931348623157{'0' * 292}"),
        (0.000000001, "0.000000001"),
    ],
)
def test_a_sum_is_shown_without_what_the_float_adds(number: float, shown: str) -> None:
    assert plain(read_sum(number)) == shown


@pytest.mark.parametrize("number", [None, True, "50", float("nan"), float("inf"), [], {}])
def test_what_is_no_number_is_an_error(number: Any) -> None:
    with pytest.raises(PolarUnreachableError):
        read_sum(number)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_no_number_is_shown_as_a_negative_zero_or_with_an_exponent(number: float) -> None:
    text = plain(read_sum(number))
    assert not text.startswith("-0") or Decimal(text) < 0
    assert "e" not in text.lower()


@given(st.lists(st.decimals(-(10**5), 10**5, places=6), max_size=20))
def test_a_sum_of_fractions_is_shown_exactly(credits_: list[Decimal]) -> None:
    assert read_sum(sum(map(float, credits_))) == sum(credits_)
