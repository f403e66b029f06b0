"""Expressions: what they see of a webhook, what they cannot be, and what is told of mistakes in them."""

import gc
import json
import sys
from typing import Any

import pytest

from config.expressions import (
    MISSING,
    Cause,
    EvaluationError,
    ExpressionError,
    Odd,
    Variables,
    compile_expression,
)
from config.references import references_in
from tests.conftest import payload


def data(name: str) -> Any:
    return json.loads(payload(name))["data"]


def seen(text: str, variables: Variables) -> Any:
    return compile_expression(text).value(variables)


class TestWhatTheySee:
    def test_of_an_order_is_all_that_belongs_to_it(self) -> None:
        """The order itself, and its subscription, customer and product under their own names."""
        order = data("order_paid_subscription_cycle")
        variables = Variables.of_order(order)

        assert seen("order.id", variables) == order["id"]
        assert seen("subscription.id", variables) == order["subscription"]["id"]
        assert seen("customer.id", variables) == order["customer"]["id"]
        assert seen("product.id", variables) == order["product"]["id"]

    def test_of_a_period_is_its_subscription(self) -> None:
        """A period has no order."""
        period = data("subscription_cycled")
        variables = Variables.of_subscription(period)

        assert seen("order", variables) is None
        assert seen("subscription.id", variables) == period["id"]
        assert seen("customer.id", variables) == period["customer"]["id"]
        assert seen("product.name", variables) == period["product"]["name"]

    def test_of_a_new_customer_is_the_customer(self) -> None:
        """There is neither order, subscription nor product."""
        variables = Variables.of_customer(data("customer_created"))

        assert seen("customer.name", variables) == "Ada Lovelace"
        assert [seen(name, variables) for name in ("order", "subscription", "product")] == [None] * 3
        assert [seen(name, variables) for name in ("seats", "units")] == [1, 1]

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
        """A checkout's order has its seats, a renewal's has not, and many have none at all."""
        assert seen("seats", Variables.of_order(data(name))) == seats

    @pytest.mark.parametrize(
        ("order", "subscription", "units"),
        [(7, 3, 7), (None, 3, 3), (None, None, 1), (0, 3, 0), ("7", 3, 3), (True, None, 1)],
    )
    def test_as_units_is_the_first_whole_number(self, order: Any, subscription: Any, units: int) -> None:
        """Nothing but a number is a count; 0 is one."""
        assert seen("units", Variables(order={"units": order}, subscription={"units": subscription})) == units

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("order.yes", True),
            ("order.whole", 9223372036854775807),
            ("order.beyond", 9223372036854775808.0),
            ("order.half", 0.5),
            ("order.text", "a"),
            ("order.none", None),
            ("order.list", Odd("list")),
            ("order.list[1] == null", True),
            ("order", Odd("object")),
            ("timestamp(order.at)", Odd("timestamp")),
            ("b'a'", Odd("bytes")),
        ],
    )
    def test_has_the_types_of_json(self, text: str, value: Any) -> None:
        """Integers are ints as far as CEL's go; what is no plain value is told by its kind."""
        order = {"yes": True, "whole": 2**63 - 1, "beyond": 2**63, "half": 0.5, "text": "a", "none": None}
        order |= {"list": [1, None], "at": "2026-11-21T02:13:24Z"}
        found = seen(text, Variables(order=order))

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
        """A field of null is as absent as null; one of anything else that has none is missing."""
        (reference,) = references_in(text, ["order", "customer"])

        assert Variables(order={"a": {"b": 1}, "none": None}).at(reference) == value


class TestNothing:
    def test_costs_no_reference_to_none(self) -> None:
        """The library's own way to read a null loses one each time, until Python 3.11 crashes."""
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
            try:
                expression.value(variables)
            except EvaluationError:
                pass


def _references_to_none() -> int:
    gc.collect()
    return sys.getrefcount(None)


IN = "of the expression)"
NAMED = "there are order, subscription, customer, product, seats, units; a text needs quotes"
NO_MIXING = (
    "CEL mixes no integers with decimals: write `* 12 / 100` for `* 0.12`, "
    "or double(...) round the integer and a decimal such as 100.0"
)
CALLED = (
    "there are int, double, string, bool, size, has, timestamp, duration, matches, startsWith, endsWith, "
    "contains, exists, exists_one, all, filter, map, uint, dyn"
)


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("order.paid and seats > 1", f"unexpected 'and'; CEL writes && (at character 12 {IN}"),
            ("order.paid or seats > 1", f"unexpected 'or'; CEL writes || (at character 12 {IN}"),
            ("order.paid & order.x", f"unexpected '&'; CEL writes && (at character 12 {IN}"),
            ("order.paid | order.x", f"unexpected '|'; CEL writes || (at character 12 {IN}"),
            ("not order.paid", f"unexpected 'order'; CEL writes ! (at character 5 {IN}"),
            ("order.currency = 'usd'", f"unexpected '='; CEL writes == (at character 16 {IN}"),
            ("order.currency === 'usd'", f"unexpected '='; CEL writes == (at character 18 {IN}"),
            ("order.currency is 'usd'", f"unexpected 'is'; CEL writes == (at character 16 {IN}"),
            ("seats => 5", f"unexpected '=>'; CEL writes >= (at character 7 {IN}"),
            ("seats <> 5", f"unexpected '>'; CEL writes != (at character 8 {IN}"),
            ("if order.paid then 5", f"CEL has no if; it writes condition ? this : that (at character 1 {IN}"),
            ("order.paid ? 5", f"it ends too early (at character 15 {IN}"),
            ("seats >", f"it ends too early (at character 8 {IN}"),
            ("(seats > 5", f"a ) is missing (at character 11 {IN}"),
            ("order.items[0", f"a ] is missing (at character 14 {IN}"),
            ("seats > 5)", f"unexpected ')' (at character 10 {IN}"),
            ("1,000 * seats", f"unexpected ',' (at character 2 {IN}"),
            ("$seats", f"unexpected '$' (at character 1 {IN}"),
            ("10 credits", f"unexpected 'credits' (at character 4 {IN}"),
            (
                "order.currency == 'usd",
                "the text that begins with ' is never closed; if it has a #, quote the whole expression "
                f"(at character 19 {IN}",
            ),
            (
                r"order.currency.matches('\d')",
                rf"a \ in a text begins an escape; write it twice, or r before the quote (at character 24 {IN}",
            ),
            ("order.currency == usd", f"unknown name 'usd'; {NAMED} (at character 19 {IN}"),
            ("oder.net_amount", f"unknown name 'oder'; did you mean 'order'? (at character 5 {IN}"),
            ("seat * 10", f"unknown name 'seat'; did you mean 'seats'? (at character 1 {IN}"),
            ("order.paid == True", f"unknown name 'True'; CEL writes true (at character 15 {IN}"),
            ("order.x == None", f"unknown name 'None'; CEL writes null (at character 12 {IN}"),
            (
                "order.metadata.my-key",
                f"unknown name 'key'; to CEL a - is a minus: write ['...'] round a key that has one (at character 19 {IN}",
            ),
            ("len(order.items)", f"unknown function 'len'; CEL writes size(...) (at character 4 {IN}"),
            ("max(seats, 5)", f"unknown function 'max'; CEL writes a > b ? a : b (at character 4 {IN}"),
            ("order.x.startWith('a')", f"unknown function 'startWith'; did you mean 'startsWith'? (at character 18 {IN}"),
            ("now() > 5", f"unknown function 'now'; {CALLED} (at character 4 {IN}"),
            ("seats + 1.5", f"'+' does not go with int and double; {NO_MIXING} (at character 7 {IN}"),
            ("seats * 'x'", f"'*' does not go with int and text; int(...) makes a number of a text (at character 7 {IN}"),
            ("!seats", f"'!' does not go with int (at character 1 {IN}"),
            ("order.x in 'abc'", f"'in' does not go with any value and text (at character 9 {IN}"),
            ("seats ? 1 : 2", f"? asks for something that is true or false (at character 7 {IN}"),
            ("order.x ? 5 : 'a'", f"? gives things of one type, not int here and text there (at character 9 {IN}"),
            ("size(seats)", f"'size' does not go with int (at character 5 {IN}"),
            ("has(order)", f"has(...) asks for a field, as in has(order.discount) (at character 5 {IN}"),
            ("seats.x", f"an int has no fields (at character 6 {IN}"),
            ("99999999999999999999", f"this int is beyond what CEL can hold (at character 1 {IN}"),
            ("seats >\n 5 and", f"unexpected 'and'; CEL writes && (at line 2, character 4 {IN}"),
            ("order.metadata.depth >", f"it ends too early (at character 23 {IN}"),
            ("(" * 99 + "1" + ")" * 99, "nested too deep; `x in [...]` says in one what many || say"),
            ("seats" + " + 1" * 99, "nested too deep; `x in [...]` says in one what many || say"),
            ("seats" + ".x" * 999, "longer than 2,000 characters"),
        ],
    )  # fmt: skip
    def test_are_told_in_words(self, text: str, message: str) -> None:
        """What is wrong, where, and what CEL writes instead."""
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text)

        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("text", "message", "cause"),
        [
            ("order.gone", "there is no 'gone'", Cause.MISSING),
            ("order.none.x", "looks for a field in something that has none", Cause.MISSING),
            ("order.none && true", "&& joins what is true or false, nothing else", Cause.MISSING),
            ("order.text && true", "&& joins what is true or false, nothing else", Cause.MISMATCH),
            ("order.text || false", "|| joins what is true or false, nothing else", Cause.MISMATCH),
            ("!order.text", "! turns round what is true or false, nothing else", Cause.MISMATCH),
            ("order.text ? 1 : 2", "? asks for something that is true or false", Cause.MISMATCH),
            ("'a' in order.text", "in looks into a list or an object, nothing else", Cause.MISMATCH),
            ("order.cents * 0.5", f"'*' does not go with int and double; {NO_MIXING}", Cause.MISMATCH),
            (
                "order.text > 5",
                "'>' does not go with text and int; int(...) makes a number of a text",
                Cause.MISMATCH,
            ),
            (
                "order.text < timestamp('2026-11-01T00:00:00Z')",
                "'<' does not go with text and timestamp; timestamp(...) makes a time of a text",
                Cause.MISMATCH,
            ),
            ("order.cents.startsWith('5')", "'startsWith' does not go with int and text", Cause.MISMATCH),
            ("order.text.x[0].y", "looks for a field in something that has none", Cause.MISSING),
            ("timestamp(order.text)", "a text is no time such as 2026-11-01T00:00:00Z", Cause.MISMATCH),
            ("duration(order.text)", "a text is no duration such as 24h", Cause.MISMATCH),
            ("order.text.matches('[')", "a text is no pattern such as ^[a-z]+$", Cause.MISMATCH),
            ("int(order.text)", "cannot convert string to int", Cause.OTHER),
            ("order.cents / 0", "divide by zero", Cause.OTHER),
            ("order.cents * 9223372036854775807", "integer overflow", Cause.OTHER),
            (
                "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, "
                "[1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, true)))))",
                "takes too many steps",
                Cause.OTHER,
            ),
        ],
    )
    def test_that_only_a_webhook_shows_are_told_too(self, text: str, message: str, cause: Cause) -> None:
        """Why there is no value, and whether that is the author's mistake or the webhook's."""
        variables = Variables(order={"text": "usd", "cents": 500, "none": None})

        with pytest.raises(EvaluationError) as caught:
            seen(text, variables)

        assert (str(caught.value), caught.value.cause) == (message, cause)
