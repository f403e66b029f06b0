"""A rule's ``when``: valid conditions, when they hold, and the explanation when they do not."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cel.conditions import ConditionError, compile_condition
from config.cel.expressions import Variables
from tests.support.rule_files import one_rule, rule_problem

ORDER: Mapping[str, Any] = {
    "net_amount": 1000,
    "currency": "usd",
    "paid": True,
    "unpaid": False,
    "discount": None,
    "created_at": "2026-11-21T02:13:24.281381Z",
    "metadata": {"campaign": "launch", "tier": "3"},
}
VARIABLES = Variables(order=ORDER)


def holds(text: str) -> bool:
    return compile_condition(text).holds(VARIABLES)


def explain_false(text: str) -> str:
    return compile_condition(text).explain_false(VARIABLES)


class TestInAFile:
    @pytest.mark.parametrize(
        "text", ["order.paid", "seats > 1 && units > 1", "'false'", '"true"', ">-\n      seats\n      > 1"]
    )
    def test_is_any_expression_that_may_be_true(self, text: str) -> None:
        """It may be plain, quoted or folded, and also a constant: "false" in quotes disables a rule."""
        assert one_rule(f"name: a\n  when: {text}\n  grant: {{m: 1}}").when is not None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("true", "the boolean 'true'; omit `when` to mean always, or write \"false\" in quotes"),
            ("no", "expected an expression, found the boolean 'no'; omit `when` to mean always"),
            ("5", "expected an expression, such as order.net_amount >= 500, found the number '5'"),
            ("", "expected an expression, such as order.net_amount >= 500, found nothing"),
            ("[seats]", "expected an expression, such as order.net_amount >= 500, found a list"),
            ("seats", "it gives a value of type int, which is neither true nor false"),
            ("seats + 1", "it gives a value of type int, which is neither true nor false"),
            ("'\"usd\"'", "it gives a value of type text, which is neither true nor false"),
            ("null + null", "'+' cannot be applied to null and null"),
            ("1 / 0 > 1", "divide by zero"),
            ("seats = 1", "unexpected '='; CEL writes == (at character 7 of the expression)"),
            ("''", "it ends too early (at character 1 of the expression)"),
            ('"\\u001b"', "it contains a control character; remove it"),
            ('"\\ud800"', "it contains a control character; remove it"),
            (f"seats == {'1' * 2000}", "longer than 2,000 characters"),
        ],
    )
    def test_is_refused_if_it_is_not_a_condition(self, text: str, message: str) -> None:
        """A condition that cannot be true or false is reported at its place when the file is read."""
        found = rule_problem(f"name: a\n  when: {text}\n  grant: {{m: 1}}")

        assert found.startswith(("5:9: rules[0].when: ", "5:8: rules[0].when: "))
        assert message in found


class TestHolding:
    @pytest.mark.parametrize(
        ("text", "is_true"),
        [
            ("order.net_amount >= 1000", True),
            ("order.net_amount > 1000", False),
            ("order.metadata.campaign == 'launch'", True),
            ("int(order.metadata.tier) > 2", True),
            ("timestamp(order.created_at) < timestamp('2027-01-01T00:00:00Z')", True),
            ("has(order.metadata.gone)", False),
            ("!has(order.metadata.gone)", True),
            ("order.discount == null", True),
            ("order.currency in ['usd', 'eur']", True),
            ("customer == null", True),
        ],
    )
    def test_is_what_cel_says(self, text: str, is_true: bool) -> None:
        """A condition holds exactly if CEL gives true."""
        assert holds(text) is is_true

    @pytest.mark.parametrize(
        "text",
        [
            "order.gone",
            "order.gone == 'x'",
            "!order.gone",
            "!(order.gone == 'x')",
            "order.metadata.gone > 5",
            "order.discount",
            "order.discount && order.paid",
            "!order.discount",
            "order.discount ? true : true",
            "order.discount.code == 'x'",
            "order.discount > 5",
            "has(order.discount.code)",
            "customer.email == 'x'",
            "order.paid && order.gone > 5",
        ],
    )
    def test_is_false_where_a_field_is_missing_or_null(self, text: str) -> None:
        """Any comparison with a missing field or a null is false."""
        assert holds(text) is False

    def test_looks_past_what_is_missing_where_it_does_not_matter(self) -> None:
        """As in CEL: an || with one side true is true, a && with one side false is false."""
        assert holds("order.gone > 5 || order.paid")
        assert not holds("order.gone > 5 && order.unpaid")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "order.net_amount > '5'",
                "order.net_amount > '5': '>' cannot be applied to int and text; "
                "int(...) turns a text into a number (order.net_amount is 1000)",
            ),
            (
                "order.currency",
                "order.currency: it gives a text, which is neither true nor false "
                "(order.currency is the text 'usd')",
            ),
            (
                "order.currency && order.paid",
                "order.currency && order.paid: it gives a text, which is neither true nor false "
                "(order.currency is the text 'usd', order.paid is true)",
            ),
            (
                "1 / (order.net_amount - 1000) > 0",
                "1 / (order.net_amount - 1000) > 0: divide by zero (order.net_amount is 1000)",
            ),
        ],
    )
    def test_is_an_error_where_there_is_no_answer(self, text: str, message: str) -> None:
        """A condition that is neither true nor false, with no field missing, is an error."""
        with pytest.raises(ConditionError) as caught:
            holds(text)

        assert str(caught.value) == message

    @pytest.mark.parametrize(
        "parts", list(permutations(["order.gone == 1", "order.currency > 5", "order.paid"]))
    )
    def test_is_false_where_one_part_is_in_whatever_order(self, parts: tuple[str, ...]) -> None:
        """A part that is false decides, even if another part fails."""
        assert holds(" && ".join(parts)) is False

    def test_is_an_error_also_beside_a_null_that_was_asked_for(self) -> None:
        """A part that fails is an error, even if another part uses a null."""
        with pytest.raises(ConditionError, match="it gives a text"):
            holds("order.discount == null && order.currency && seats > 0")

    def test_is_an_error_for_a_bad_pattern_whatever_its_letters(self) -> None:
        """The library's message repeats the pattern, which may contain the word null."""
        with pytest.raises(ConditionError, match="not a pattern"):
            holds("'abc'.matches('(' + order.metadata.campaign + 'null')")


outcomes = {
    "order.paid": True,
    "order.net_amount == 1000": True,
    "'a && b' != 'a || b'": True,
    "(order.unpaid || order.paid)": True,
    "order.unpaid": False,
    "order.net_amount < 1000": False,
    "order.gone == 1": False,
    "order.discount": False,
    "(order.paid && order.unpaid)": False,
}


class TestWhatIsUnmet:
    @given(st.lists(st.sampled_from(sorted(outcomes)), min_size=1, max_size=5))
    def test_is_the_first_part_that_is_false(self, parts: list[str]) -> None:
        """A condition holds unless one of its parts is false; the first such part is named."""
        text = " && ".join(parts)
        false = [part for part in parts if not outcomes[part]]

        assert holds(text) is not bool(false)
        assert not false or explain_false(text).startswith(f"{false[0]} is false")

    @given(st.permutations(["order.currency", "order.unpaid"]))
    def test_is_no_part_that_cannot_be_told(self, parts: list[str]) -> None:
        """A part that is neither true nor false is not reported as false."""
        assert not holds(" && ".join(parts))
        assert explain_false(" && ".join(parts)) == "order.unpaid is false (order.unpaid is false)"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "order.net_amount >= 5000 && order.paid",
                "order.net_amount >= 5000 is false (order.net_amount is 1000)",
            ),
            (
                "order.metadata.gone == 'x'",
                "order.metadata.gone == 'x' is false (order.metadata.gone is missing)",
            ),
            (
                "order.discount.code == 'x'",
                "order.discount.code == 'x' is false (order.discount.code is null)",
            ),
            (
                "order.unpaid || seats > 5",
                "order.unpaid || seats > 5 is false (order.unpaid is false, seats is 1)",
            ),
            ("'a' == 'b'", "'a' == 'b' is false"),
            ("order.paid &&\n  order.unpaid", "order.unpaid is false (order.unpaid is false)"),
            ("seats > 1 ||\n  units > 1", "seats > 1 || units > 1 is false (seats is 1, units is 1)"),
        ],
    )
    def test_is_told_with_the_values_that_it_saw(self, text: str, said: str) -> None:
        """The explanation is one line: the part, and the values of its fields."""
        assert explain_false(text) == said
