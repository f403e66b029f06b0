"""Expressions: their variables, and the messages for mistakes in them."""

import contextlib
import gc
import json
import sys
from typing import Any

import pytest

from config.cel.expressions import (
    MISSING,
    Cause,
    EvaluationError,
    ExpressionError,
    OpaqueValue,
    Variables,
    compile_expression,
)
from config.cel.numbers import bound_integers
from config.cel.references import references_in
from tests.support.recordings import payload
from tests.support.rule_files import NO_MIXING


def data(name: str) -> Any:
    return json.loads(payload(name))["data"]


def evaluate(text: str, variables: Variables) -> Any:
    return compile_expression(text).value(variables)


class TestWhatTheySee:
    def test_of_an_order_is_all_that_belongs_to_it(self) -> None:
        """The order itself, and its subscription, customer and product under their own names."""
        order = data("order_paid_subscription_cycle")
        variables = Variables.of_order(order)

        assert evaluate("order.id", variables) == order["id"]
        assert evaluate("subscription.id", variables) == order["subscription"]["id"]
        assert evaluate("customer.id", variables) == order["customer"]["id"]
        assert evaluate("product.id", variables) == order["product"]["id"]

    def test_of_a_period_is_its_subscription(self) -> None:
        """A period has no order."""
        period = data("subscription_cycled")
        variables = Variables.of_subscription(period)

        assert evaluate("order", variables) is None
        assert evaluate("subscription.id", variables) == period["id"]
        assert evaluate("customer.id", variables) == period["customer"]["id"]
        assert evaluate("product.name", variables) == period["product"]["name"]

    def test_of_a_new_customer_is_the_customer(self) -> None:
        """A new customer has no order, subscription or product."""
        variables = Variables.of_customer(data("customer_created"))

        assert evaluate("customer.name", variables) == "Ada Lovelace"
        assert [evaluate(name, variables) for name in ("order", "subscription", "product")] == [None] * 3
        assert [evaluate(name, variables) for name in ("seats", "units")] == [1, 1]

    @pytest.mark.parametrize(
        ("name", "seats"),
        [
            ("order_paid_seats_5", 5),
            ("order_paid_subscription_cycle_seats_order_seats_null", 5),
            ("order_paid_purchase", 1),
            ("order_paid_subscription_cycle", 1),
        ],
    )
    def test_as_seats_is_the_orders_else_the_subscriptions_else_1(self, name: str, seats: int) -> None:
        """A checkout's order has seats, a renewal's does not, and many orders have none at all."""
        assert evaluate("seats", Variables.of_order(data(name))) == seats

    @pytest.mark.parametrize(
        ("created_at", "left"),
        [
            ("2026-12-13T20:39:37.946237Z", 0.5),
            ("2026-11-28T20:39:37.946237Z", 1.0),
            ("2026-11-28T21:39:37.946237+01:00", 1.0),
            ("2026-12-21T08:39:37.946237Z", 0.25),
            ("2026-11-01T00:00:00Z", 1.0),
            ("2027-01-01T00:00:00Z", 0.0),
        ],
    )
    def test_as_period_left_is_the_share_of_the_period_after_the_order(
        self, created_at: str, left: float
    ) -> None:
        """From 0 to 1, even where an order was created outside the period that its subscription shows."""
        order = data("order_paid_subscription_update_upgrade") | {"created_at": created_at}
        assert evaluate("period_left", Variables.of_order(order)) == left

    @pytest.mark.parametrize(
        "variables",
        [
            Variables.of_order(data("order_paid_purchase")),
            Variables.of_order({"created_at": "2026-12-13T00:00:00Z", "subscription": {}}),
            Variables.of_subscription(data("subscription_cycled")),
            Variables.of_customer(data("customer_created")),
        ],
    )
    def test_as_period_left_is_1_without_an_order_or_a_period(self, variables: Variables) -> None:
        assert evaluate("period_left", variables) == 1.0

    @pytest.mark.parametrize(
        "times",
        [("soon", "later"), ("2026-12-01T00:00:00Z",) * 2, ("2026-12-01T00:00:00", "2027-12-01"), (1, 2)],
    )
    def test_as_period_left_is_nothing_where_the_times_cannot_be_read(self, times: tuple[Any, Any]) -> None:
        """1 in its place could credit too much; an amount that uses it fails."""
        period = dict(zip(("current_period_start", "current_period_end"), times, strict=True))
        order = {"created_at": "2026-12-13T00:00:00Z", "subscription": period}
        with pytest.raises(EvaluationError):
            evaluate("10.0 * period_left", Variables.of_order(order))

    @pytest.mark.parametrize(
        ("order", "subscription", "units"),
        [(7, 3, 7), (None, 3, 3), (None, None, 1), (0, 3, 0)],
    )
    def test_as_units_is_the_first_that_is_given(self, order: Any, subscription: Any, units: int) -> None:
        """A count of 0 counts as set."""
        assert (
            evaluate("units", Variables(order={"units": order}, subscription={"units": subscription}))
            == units
        )

    @pytest.mark.parametrize("units", ["7", [1], 2**70, 0.5])
    def test_fails_for_a_count_that_is_not_an_integer(self, units: object) -> None:
        """Replacing it by 1 would silently credit too little."""
        variables = Variables(order=bound_integers({"units": units, "net_amount": 5}))
        with pytest.raises(EvaluationError):
            evaluate("units", variables)
        assert evaluate("order.net_amount", variables) == 5

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("order.yes", True),
            ("order.whole", 9223372036854775807),
            ("order.beyond", 9223372036854775808.0),
            ("order.half", 0.5),
            ("order.text", "a"),
            ("order.none", None),
            ("order.list", OpaqueValue("list")),
            ("order.list[1] == null", True),
            ("order", OpaqueValue("object")),
            ("timestamp(order.at)", OpaqueValue("timestamp")),
            ("b'a'", OpaqueValue("bytes")),
        ],
    )
    def test_has_the_types_of_json(self, text: str, value: Any) -> None:
        """Integers are ints up to 64 bits; of any other value only the type is kept."""
        order = {"yes": True, "whole": 2**63 - 1, "beyond": 2**63, "half": 0.5, "text": "a", "none": None}
        order |= {"list": [1, None], "at": "2026-11-21T02:13:24Z"}
        found = evaluate(text, Variables(order=bound_integers(order)))

        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("order.a.b", 1),
            ("order.a.c", MISSING),
            ("order.a.b.c", MISSING),
            ("order.none", None),
            ("order.none.x.y", None),
            ("customer.email", None),
        ],
    )
    def test_can_be_looked_up_by_a_reference(self, text: str, value: Any) -> None:
        """A field of null is null; a field of any other value without fields is missing."""
        (reference,) = references_in(text, ["order", "customer"])

        assert Variables(order={"a": {"b": 1}, "none": None}).at(reference) == value


class TestNothing:
    def test_costs_no_reference_to_none(self) -> None:
        """The library loses a reference each time it reads a null, until Python 3.11 crashes."""
        variables = Variables(order={"none": None, "list": [None, {"none": None}]})
        expressions = [
            compile_expression(text)
            for text in ("order.none", "order.none == null", "order.none.x", "order.gone", "order.none > 1")
        ]
        _evaluate_all(expressions, variables, 1_000)  # whatever is made once is made
        before = _references_to_none()

        _evaluate_all(expressions, variables, 10_000)

        assert _references_to_none() - before > -100  # from 3.12 on None is immortal: this says nothing


def _evaluate_all(expressions: list[Any], variables: Variables, times: int) -> None:
    for _ in range(times):
        for expression in expressions:
            with contextlib.suppress(EvaluationError):
                expression.value(variables)


def _references_to_none() -> int:
    gc.collect()
    return sys.getrefcount(None)


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
            evaluate(text, variables)

        assert (str(caught.value), caught.value.cause) == (message, cause)
