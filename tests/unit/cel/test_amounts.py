"""Amounts: numbers, expressions, and their values."""

import math
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cel.amounts import AmountError, evaluate_amount, to_exact_decimal
from config.cel.expressions import Expression, Variables, compile_expression
from config.cel.numbers import MAX_DIGITS
from tests.support.rule_files import complaint, granting, rule_problem, the_amount


def amount(text: str) -> Any:
    return the_amount(f"{{name: a, grant: {{m: {text}}}}}")


def amount_problem(text: str) -> str:
    return rule_problem(f"{{name: a, grant: {{m: {text}}}}}").partition("m: ")[2]


class TestNumbers:
    @given(st.integers(1, 10**15 - 1), st.integers(0, 12))
    def test_are_exact_and_survive_a_double(self, digits: int, decimals: int) -> None:
        """Every valid amount is exact, also after Polar has stored it as a JSON number."""
        written = Decimal(digits).scaleb(-decimals)
        if written >= 10**12:
            return
        assert amount(f"{written:f}") == written
        assert Decimal(repr(float(written))) == written

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0", "expected more than 0, found the number '0'"),
            ("0.000", "expected more than 0, found the number '0.000'"),
            ("-5", "expected more than 0, found the number '-5'"),
            ("1000000000000", "expected less than 1,000,000,000,000"),
            ("0.0000000000001", "expected at least 0.000000000001"),
            ("1.234567890123456", "has 16 significant digits; at most 15 stay exact"),
            ("true", "expected a number or an expression, found the boolean 'true'"),
            ("2026-11-01", "expected a number or an expression, found the time '2026-11-01'"),
            ("null", "expected a number or an expression, found nothing"),
            ("", "expected a number or an expression, found nothing"),
            ("[1]", "expected a number or an expression, found a list"),
            (".inf", "expected plain digits, such as 1000 or 0.5, found the number '.inf'"),
            (".nan", "expected plain digits"),
            ("010", "expected plain digits"),
            ("0x10", "expected plain digits"),
            ("1_000", "expected plain digits"),
            ("1:30", "expected plain digits"),
            ("!!int ten", "expected plain digits"),
        ],
    )
    def test_that_are_none_are_refused(self, text: str, message: str) -> None:
        """Only plain positive digits are a valid number."""
        assert message in amount_problem(text)

    @pytest.mark.parametrize("text", ["999999999999", "999999999999.999", "0.000000000001", "1.50"])
    def test_at_the_bounds_are_allowed(self, text: str) -> None:
        """The largest and the smallest amounts are valid."""
        assert amount(text) == Decimal(text)


class TestExpressions:
    @pytest.mark.parametrize("text", ["1000 * seats", "order.net_amount * 12 / 100", "-seats", "seats - 1"])
    def test_may_be_plain_or_quoted(self, text: str) -> None:
        """CEL gets the same text, with or without quotes."""
        expression = amount(text)

        assert isinstance(expression, Expression)
        assert expression == the_amount(granting(text))
        assert expression.text == text

    @pytest.mark.parametrize(
        ("text", "credits_"),
        [
            ("10", "10"),
            ("2 * 50", "100"),
            ("1e3", "1000"),
            ("0.1 + 0.2", "0.3"),
            ("int(12.7)", "12"),
            ("uint(5)", "5"),
            ("size('héllo')", "5"),
        ],
    )
    def test_without_variables_are_evaluated_at_once(self, text: str, credits_: str) -> None:
        """A constant expression is read as its number."""
        assert the_amount(granting(text)) == Decimal(credits_)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0", "it gives 0; expected more than 0"),
            ("5 - 5", "it gives 0; expected more than 0"),
            ("0.0000000001", "it gives 0; expected more than 0"),
            ("-5", "it gives -5, and an amount cannot be negative"),
            ("1 / 0", "divide by zero"),
            ("1.0 / 0.0", "it gives inf; an amount must be less than 1,000,000,000,000"),
            (
                "1000 * 1000 * 1000 * 1000",
                "it gives 1000000000000; an amount must be less than 1,000,000,000,000",
            ),
            ("'x'", "it gives a value of type text, which is not a number"),
            ("true", "it gives a value of type bool, which is not a number"),
            ("[1]", "it gives a value of type list, which is not a number"),
            ("null", "it gives a value of type null, which is not a number"),
            ("seats > 5", "it gives a value of type bool, which is not a number"),
            ("string(seats)", "it gives a value of type text, which is not a number"),
            ("", "it ends too early (at character 1 of the expression)"),
        ],
    )
    def test_that_never_give_an_amount_are_refused(self, text: str, message: str) -> None:
        """A mistake that shows without a webhook is reported when the file is read."""
        assert complaint(granting(text)) == message

    def test_that_may_use_a_webhook_are_not_evaluated(self) -> None:
        """An expression with a variable's name anywhere, even in a string, does not count as constant."""
        assert isinstance(the_amount(granting("size('seats')")), Expression)
        assert isinstance(the_amount(granting(".seats * 10")), Expression)


def worked_out(text: str, /, **order: Any) -> Decimal:
    return evaluate_amount(compile_expression(text), Variables(order=order))


def failure(text: str, /, **order: Any) -> AmountError:
    with pytest.raises(AmountError) as caught:
        worked_out(text, **order)
    return caught.value


class TestWorkingOut:
    @pytest.mark.parametrize(
        ("text", "credits_"),
        [
            ("order.cents * 12 / 100", "60"),
            ("double(order.cents) * 0.07", "35"),
            ("double(order.cents) / 3.0", "166.666666667"),
            ("order.none", "7"),
            ("order.half", "0.5"),
            ("0 * order.cents", "0"),
            ("order.half - 0.5", "0"),
            ("0.3 - 0.2 - 0.1 + 0.0 * order.half", "0"),
        ],
    )
    def test_gives_what_was_meant(self, text: str, credits_: str) -> None:
        """Amounts are exact, or rounded where CEL has a rounding error; almost 0 is 0."""
        assert worked_out(text, cents=500, half=0.5, none=7) == Decimal(credits_)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("order.cents - 501", "it gives -1, and an amount cannot be negative (order.cents is 500)"),
            ("order.cents / order.no", "divide by zero (order.cents is 500, order.no is 0)"),
            ("order.gone * 2", "'gone' is missing (order.gone is missing)"),
            ("order.nil", "it gives null, which is not a number (order.nil is null)"),
            ("order.nil + 1", "'+' cannot be applied to null and int (order.nil is null)"),
            ("order.text", "it gives a text, which is not a number (order.text is the text 'five')"),
            ("int(order.text)", "cannot convert string to int (order.text is the text 'five')"),
            ("order.yes", "it gives true, which is not a number (order.yes is true)"),
            ("order.list", "it gives a value of type list, which is not a number (order.list is a list)"),
            (
                "order.huge",
                "it gives 1e+30; an amount must be less than 1,000,000,000,000 (order.huge is 1e+30)",
            ),
            ("order.nan", "it gives nan; an amount must be less than 1,000,000,000,000 (order.nan is nan)"),
            ("-order.inf", "it gives -inf; an amount must be less than 1,000,000,000,000 (order.inf is inf)"),
            ("order\n  .cents -\n 501", "it gives -1, and an amount cannot be negative (order.cents is 500)"),
        ],
    )
    def test_fails_with_the_expression_and_the_values(self, text: str, words: str) -> None:
        """The message has the expression, the reason and the values used."""
        order = {
            "cents": 500,
            "no": 0,
            "nil": None,
            "text": "five",
            "yes": True,
            "list": [1],
            "huge": 1e30,
            "nan": math.nan,
            "inf": math.inf,
        }

        assert str(failure(text, **order)) == f"{' '.join(text.split())}: {words}"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("size(order.metadata.by) - 99", "order.metadata.by is a text with an @ (not shown)"),
            ("size(order.customer.email) - 99", "order.customer.email is present (personal, not shown)"),
            ("size(order.customer.name) - 99", "order.customer.name is present (personal, not shown)"),
            ("size(order.billing_name) - 99", "order.billing_name is present (personal, not shown)"),
            ("size(order.product.name) - 99", "order.product.name is the text 'Ada'"),
            ("size(order.custom_field_data.x) - 99", "order.custom_field_data.x is present (personal,"),
            ("order.custom_field_data.born - 99999999", "order.custom_field_data.born is present (personal,"),
            ("order.custom_field_data.born * -1", "it gives a number computed from personal data"),
            ("order.custom_field_data.x", "it gives a text, which is not a number"),
            ("{'DE': 2}[order.customer.name]", "{'DE': 2}[order.customer.name]: a key is missing ("),
        ],
    )
    def test_shows_nothing_personal(self, text: str, said: str) -> None:
        """Reasons are logged and listed, so they have no names, addresses or texts typed by customers."""
        order = {
            "customer": {"email": "ada@example.com", "name": "Ada"},
            "billing_name": "Ada",
            "metadata": {"by": "ada@example.com"},
            "product": {"name": "Ada"},
            "custom_field_data": {"x": "Ada", "born": 19721231},
        }

        words = str(failure(text, **order))

        assert said in words
        assert "product" in text or not {"Ada", "19721231"} & set(re.findall(r"\w+", words))


cents = st.integers(0, 10**9)
hundredths = st.integers(0, 10**4)
credits_floats = st.floats(-(10.0**12), 10.0**12, exclude_min=True, exclude_max=True)


class TestExact:
    @given(cents, hundredths)
    def test_removes_the_rounding_error_of_a_rate(self, price: int, rate: int) -> None:
        """Cents times a rate in hundredths, computed in doubles, gives the exact product."""
        assert to_exact_decimal(float(price) * (rate / 100)) == Decimal(price) * Decimal(rate) / 100
        assert to_exact_decimal(float(price) * float(rate) / 100.0) == Decimal(price) * Decimal(rate) / 100

    @given(st.lists(hundredths, min_size=1, max_size=20))
    def test_removes_the_rounding_error_of_a_sum(self, parts: list[int]) -> None:
        """Sums of hundredths, computed in doubles, give the exact sum."""
        assert to_exact_decimal(sum(part / 100 for part in parts)) == Decimal(sum(parts)) / 100

    @given(credits_floats)
    def test_keeps_what_polar_keeps(self, value: float) -> None:
        """A result has at most 15 digits, 9 of them after the point, and survives as a JSON number."""
        once = to_exact_decimal(value)
        digits = once.as_tuple()

        assert to_exact_decimal(float(once)) == once
        assert len(digits.digits) <= MAX_DIGITS
        assert isinstance(digits.exponent, int)
        assert digits.exponent >= -9

    @given(credits_floats)
    def test_changes_next_to_nothing(self, value: float) -> None:
        """Rounding changes an amount by less than any intended fraction."""
        assert abs(to_exact_decimal(value) - Decimal(value)) <= max(
            Decimal("0.0000000006"), abs(Decimal(value)) / 10**14
        )

    @given(st.integers(-(10**12), 10**12))
    def test_takes_integers_as_they_are(self, value: int) -> None:
        """An integer has no rounding error."""
        assert to_exact_decimal(value) == value
