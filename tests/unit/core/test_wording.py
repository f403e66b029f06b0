"""Credits are written as sums by meter, with take-backs apart."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.builders import Amount, grant_of
from workers.core.grants import Grant
from workers.core.wording import credits_text, plain


def given(meter: str, *units: Amount) -> Grant:
    return grant_of(1, *units, meter=meter)


@pytest.mark.parametrize(
    ("grants", "text"),
    [
        ([], "nothing"),
        ([given("api_usage", 10)], "10 api_usage"),
        ([given("api_usage", "0.5", "0.25")], "0.75 api_usage"),
        ([given("api_usage", 10), given("api_usage", 50)], "60 api_usage"),
        ([given("images", 5), given("api_usage", 10)], "10 api_usage, 5 images"),
        ([given("api_usage", -3)], "took back 3 api_usage"),
        ([given("api_usage", -3), given("api_usage", 10)], "10 api_usage; took back 3 api_usage"),
        (
            [given("images", -1), given("api_usage", -3), given("api_usage", "-0.5")],
            "took back 3.5 api_usage, 1 images",
        ),
    ],
)
def test_credits_are_listed_by_meter_and_take_backs_apart(grants: list[Grant], text: str) -> None:
    assert credits_text(grants) == text


def test_the_same_credits_have_the_same_text_whatever_their_order_and_keys() -> None:
    """The texts are compared to see whether today's rules would grant something else."""
    one, two = given("api_usage", 10), replace(given("images", 5), subject="credits:customer:x:bonus")
    assert credits_text([one, two]) == credits_text([two, one])


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ("10", "10"),
        ("1E+3", "1000"),
        ("10.0", "10"),
        ("0.5", "0.5"),
        ("100.250", "100.25"),
        ("0.000000000001", "0.000000000001"),
        ("1E-12", "0.000000000001"),
        ("999999999999999", "999999999999999"),
    ],
)
def test_a_number_of_credits_is_written_in_plain_digits(units: str, text: str) -> None:
    assert plain(Decimal(units)) == text
