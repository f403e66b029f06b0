"""Mistakes in expressions: each is refused with a message that says what CEL writes instead."""

import pytest

from config.cel.expressions import Cause, EvaluationError, ExpressionError, Variables, compile_expression
from tests.support.rule_files import NO_MIXING

NAMED = "the names are order, subscription, customer, product, seats, units, period_left; a text needs quotes"
IF_CUT = "if it contains a #, quote the whole expression"
MINUS = "CEL reads - as minus; write a key that contains - as ['...']"
CALLED = (
    "the functions are int, double, string, bool, size, has, timestamp, duration, matches, startsWith, "
    "endsWith, contains, exists, exists_one, all, filter, map, uint, dyn"
)


def mistake(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    return str(caught.value)


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message", "at"),
        [
            ("order.paid and seats > 1", "unexpected 'and'; CEL writes &&", 12),
            ("order.paid or seats > 1", "unexpected 'or'; CEL writes ||", 12),
            ("order.paid & order.x", "unexpected '&'; CEL writes &&", 12),
            ("order.paid | order.x", "unexpected '|'; CEL writes ||", 12),
            ("not order.paid", "unexpected 'order'; CEL writes !", 5),
            ("order.currency = 'usd'", "unexpected '='; CEL writes ==", 16),
            ("order.currency === 'usd'", "unexpected '='; CEL writes ==", 18),
            ("order.currency is 'usd'", "unexpected 'is'; CEL writes ==", 16),
            ("seats => 5", "unexpected '=>'; CEL writes >=", 7),
            ("seats <> 5", "unexpected '>'; CEL writes !=", 8),
            ("if order.paid then 5", "CEL has no if; write condition ? this : that", 1),
            ("order.paid ? 5", "it ends too early", 15),
            ("seats >", "it ends too early", 8),
            ("order.metadata.depth >", "it ends too early", 23),
            ("(seats > 5", "a ) is missing", 11),
            ("order.items[0", "a ] is missing", 14),
            ("seats > 5)", "unexpected ')'", 10),
            ("1,000 * seats", "unexpected ','", 2),
            ("$seats", "unexpected '$'", 1),
            ("10 credits", "unexpected 'credits'", 4),
            ("order.x == 'usd", f"the text that starts with ' is never closed; {IF_CUT}", 12),
            ('"usd == order.x', f'the text that starts with " is never closed; {IF_CUT}', 1),
            (
                r"order.x.matches('\d')",
                r"a \ in a text starts an escape; double it, or write r before the quote",
                17,
            ),
            ("order.currency == usd", f"unknown name 'usd'; {NAMED}", 19),
            ("recursion > 5", f"unknown name 'recursion'; {NAMED}", 1),
            ("oder.net_amount", "unknown name 'oder'; did you mean 'order'?", 5),
            ("seat * 10", "unknown name 'seat'; did you mean 'seats'?", 1),
            ("order.paid == True", "unknown name 'True'; CEL writes true", 15),
            ("order.x == None", "unknown name 'None'; CEL writes null", 12),
            ("order.my-key", f"unknown name 'key'; {MINUS}", 10),
            ("len(order.items)", "unknown function 'len'; CEL writes size(...)", 4),
            ("max(seats, 5)", "unknown function 'max'; CEL writes a > b ? a : b", 4),
            ("order.x.startWith('a')", "unknown function 'startWith'; did you mean 'startsWith'?", 18),
            ("now() > 5", f"unknown function 'now'; {CALLED}", 4),
            ("seats + 1.5", f"'+' cannot be applied to int and double; {NO_MIXING}", 7),
            ("seats * 'x'", "'*' cannot be applied to int and text; int(...) turns a text into a number", 7),
            ("!seats", "'!' cannot be applied to int", 1),
            ("order.x in 'abc'", "'in' cannot be applied to any value and text", 9),
            ("seats ? 1 : 2", "? needs true or false before it", 7),
            ("order.x ? 5 : 'a'", "both results of ? must have one type, not int and text", 9),
            ("size(seats)", "'size' cannot be applied to int", 5),
            ("has(order)", "has(...) takes a field, as in has(order.discount)", 5),
            ("seats.x", "a value of type int has no fields", 6),
            ("for + 1", "the word for is reserved", 1),
            ("99999999999999999999", "this int is too large for CEL", 1),
        ],
    )
    def test_are_told_in_words(self, text: str, message: str, at: int) -> None:
        """The message says what is wrong, what CEL writes instead, and at which character."""
        assert mistake(text) == f"{message} (at character {at} of the expression)"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("seats >\n 5 and", "unexpected 'and'; CEL writes && (at line 2, character 4 of the expression)"),
            ("\n\nnow()", f"unknown function 'now'; {CALLED} (at line 3, character 4 of the expression)"),
            ("(" * 99 + "1" + ")" * 99, "nested too deeply; `x in [...]` replaces a long chain of ||"),
            ("seats" + " + 1" * 99, "nested too deeply; `x in [...]` replaces a long chain of ||"),
            ("seats" + ".x" * 999, "longer than 2,000 characters"),
        ],
    )
    def test_of_long_expressions_are_found_too(self, text: str, message: str) -> None:
        """The message has the line if there are several, and says if a limit of CEL is exceeded."""
        assert mistake(text) == message

    @pytest.mark.parametrize(
        ("text", "message", "cause"),
        [
            ("order.gone", "'gone' is missing", Cause.MISSING),
            ("order.none.x", "it looks up a field of a value that has no fields", Cause.MISSING),
            ("order.none && true", "&& needs true or false on both sides", Cause.MISSING),
            ("order.none * 2", "'*' cannot be applied to null and int", Cause.MISSING),
            ("order.text && true", "&& needs true or false on both sides", Cause.MISMATCH),
            ("order.text || false", "|| needs true or false on both sides", Cause.MISMATCH),
            ("!order.text", "! needs true or false after it", Cause.MISMATCH),
            ("order.text ? 1 : 2", "? needs true or false before it", Cause.MISMATCH),
            ("'a' in order.text", "in needs a list or an object after it", Cause.MISMATCH),
            ("order.cents * 0.5", f"'*' cannot be applied to int and double; {NO_MIXING}", Cause.MISMATCH),
            (
                "order.text > 5",
                "'>' cannot be applied to text and int; int(...) turns a text into a number",
                Cause.MISMATCH,
            ),
            (
                "order.text < timestamp('2026-11-01T00:00:00Z')",
                "'<' cannot be applied to text and timestamp; timestamp(...) turns a text into a time",
                Cause.MISMATCH,
            ),
            ("order.cents.startsWith('5')", "'startsWith' cannot be applied to int and text", Cause.MISMATCH),
            ("order.text.x[0].y", "it looks up a field of a value that has no fields", Cause.MISSING),
            ("timestamp(order.text)", "a text is not a time such as 2026-11-01T00:00:00Z", Cause.MISMATCH),
            ("duration(order.text)", "a text is not a duration such as 24h", Cause.MISMATCH),
            ("order.text.matches('[')", "a text is not a pattern such as ^[a-z]+$", Cause.MISMATCH),
            ("int(order.text)", "cannot convert string to int", Cause.OTHER),
            ("order.cents / 0", "divide by zero", Cause.OTHER),
            ("order.cents * 9223372036854775807", "integer overflow", Cause.OTHER),
            (
                "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, "
                "[1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, true)))))",
                "it takes too many steps",
                Cause.OTHER,
            ),
        ],
    )
    def test_that_only_a_webhook_shows_are_told_too(self, text: str, message: str, cause: Cause) -> None:
        """The error says why there is no value, and whether the cause is the rule or the webhook."""
        variables = Variables(order={"text": "usd", "cents": 500, "none": None})

        with pytest.raises(EvaluationError) as caught:
            compile_expression(text).value(variables)

        assert (str(caught.value), caught.value.cause) == (message, cause)
