"""Expressions: the variables that they see."""

import contextlib
import gc
import json
import sys
from typing import Any

import pytest

from config.cel.expressions import MISSING, EvaluationError, OpaqueValue, Variables, compile_expression
from config.cel.numbers import bound_integers
from config.cel.references import references_in
from tests.support.recordings import payload


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
