"""Amounts, lists and times in a rules file."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rulefiles import PRODUCT, one_rule, parse, problem, rule_problem


def amount(text: str) -> Decimal:
    return one_rule(f"{{name: a, grant: {{m: {text}}}}}").grant["m"]


def amount_problem(text: str) -> str:
    return rule_problem(f"{{name: a, grant: {{m: {text}}}}}").partition("m: ")[2]


class TestAmounts:
    @given(st.integers(1, 10**15 - 1), st.integers(0, 12))
    def test_are_exact_and_survive_a_double(self, digits: int, decimals: int) -> None:
        """What may be written comes back exactly, also after Polar stored it as a JSON number."""
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
            ("true", "expected a number, found the boolean 'true'"),
            ("null", "expected a number, found nothing"),
            ("", "expected a number, found nothing"),
            ("'10'", "expected a number, found the text '10'"),
            ("1000 * seats", "expected a number, found the text '1000 * seats'"),
            ("1e3", "expected a number, found the text '1e3'"),
            ("[1]", "expected a number, found a list"),
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
        """Nothing but plain positive digits is taken for an amount."""
        assert message in amount_problem(text)

    @pytest.mark.parametrize("text", ["999999999999", "999999999999.999", "0.000000000001", "1.50"])
    def test_at_the_bounds_are_allowed(self, text: str) -> None:
        """The largest and smallest amounts are read."""
        assert amount(text) == Decimal(text)


class TestListsInARule:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ("products: []", "the list is empty; omit `products` to mean every product"),
            ("products: abc", "expected a list of products, found the text 'abc'"),
            ("products: [abc]", "expected a product's id, such as"),
            ("products: [12345678]", "expected a product's id, such as"),
            (f"products: [{PRODUCT}, {PRODUCT.upper()}]", f"duplicate product '{PRODUCT}'"),
            ("triggers: []", "omit `triggers` to mean purchase, subscription_create, subscription"),
            ("triggers: purchase", "expected a list of triggers, found the text 'purchase'"),
            ("triggers: [purchased]", "unknown trigger 'purchased'; did you mean 'purchase'?"),
            ("triggers: [xyz]", "unknown trigger 'xyz'; the triggers are purchase, subscription_"),
            ("triggers: [[]]", "expected a trigger, found a list"),
            ("triggers: [purchase, purchase]", "duplicate trigger 'purchase'; it is first on line 4"),
        ],
    )
    def test_are_sets_of_what_exists(self, rule: str, message: str) -> None:
        """Products and triggers are lists of known things, none empty, nothing twice."""
        assert message in rule_problem(f"{{name: a, {rule}, grant: {{m: 1}}}}")

    @pytest.mark.parametrize("key", ["when", "once_per", "on_refund", "from", "until"])
    def test_keys_of_a_later_format_are_refused(self, key: str) -> None:
        """A key that would narrow what is granted is never silently ignored."""
        assert f"unknown key '{key}'" in rule_problem(f"{{name: a, {key}: x, grant: {{m: 1}}}}")


class TestCreditFrom:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-01T00:00:00Z",
            "'2026-11-01T00:00:00Z'",
            "2026-11-01 00:00:00.000Z",
            "2026-11-01T02:00:00+02:00",
            "2026-11-01t00:00z",
        ],
    )
    def test_is_a_moment_quoted_or_not(self, text: str) -> None:
        """Every common way to write the same moment is read as that moment, in UTC."""
        moment = parse(f"version: 1\nrules: []\ncredit_from: {text}\n").credit_from

        assert moment == datetime(2026, 11, 1, tzinfo=UTC)
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("2026-11-01", "a date alone leaves the moment open; write 2026-11-01T00:00:00Z"),
            ("2026-11-01T00:00:00", "has no time zone; add Z for UTC, as in 2026-11-01T00:00:00Z"),
            ("2026-11-01 00:00:00", "has no time zone; add Z for UTC"),
            ("2026-13-01T00:00:00Z", "there is no such time as '2026-13-01T00:00:00Z'"),
            ("0001-01-01T00:00:00+01:00", "there is no such time as"),
            ("tomorrow", "expected a time such as 2026-11-01T00:00:00Z, found the text 'tomorrow'"),
            ("1793491200", "expected a time such as 2026-11-01T00:00:00Z, found the number"),
            ("null", "expected a time such as 2026-11-01T00:00:00Z, found nothing"),
            ("[]", "expected a time such as 2026-11-01T00:00:00Z, found a list"),
        ],
    )
    def test_is_refused_where_it_names_no_moment(self, text: str, message: str) -> None:
        """A time without its zone is a different moment on every machine."""
        assert message in problem(f"version: 1\nrules: []\ncredit_from: {text}\n")
