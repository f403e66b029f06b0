"""Real, odd and hostile webhooks are read, or refused with a reason."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cel.expressions import Variables, compile_expression
from tests.support.builders import order_like, order_webhook, webhook
from tests.support.recordings import PAYLOADS, payload
from workers.core.envelope import ORDER_PAID, peek_type, read_type
from workers.core.payloads import (
    Customer,
    NewSubscription,
    Order,
    Period,
    Read,
    read_customer,
    read_new_subscription,
    read_order,
    read_period,
)
from workers.errors import UnreadablePayloadError

REAL = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
PAID = [name for name in REAL if name.startswith("order_paid_")]
VIEWS = (Order, Period, NewSubscription, Customer)
FIELDS = sorted({field for view in VIEWS for field in view.__struct_fields__})
ID = "2a9bd3c2-84d9-4be8-9a3d-b03af1044217"

HOSTILE = [
    b"",
    b"null",
    b"[]",
    b'"order.paid"',
    b"{}",
    b'{"type": 7}',
    b'{"type": null}',
    b'{"type": "order.paid"',
    b'{"type": "\\ud800"}',
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"type": ' + b"[" * 200_000,
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


READERS: dict[str, Callable[[bytes], Read[Any]]] = {
    "order": read_order,
    "period": read_period,
    "new subscription": read_new_subscription,
    "customer": read_customer,
}


def reading_error(body: bytes, read: Callable[[bytes], object] = read_order) -> str:
    with pytest.raises(UnreadablePayloadError) as caught:
        read(body)
    return str(caught.value)


@pytest.mark.parametrize("name", REAL)
def test_every_real_webhook_says_its_type(name: str) -> None:
    assert peek_type(payload(name)) == json.loads(payload(name))["type"]


@pytest.mark.parametrize("name", PAID)
def test_every_real_paid_order_is_read_correctly(name: str) -> None:
    sent = json.loads(payload(name))["data"]
    order = read_order(payload(name)).view
    assert (order.id, order.customer_id, order.product_id) == (
        sent["id"],
        sent["customer_id"],
        sent["product_id"],
    )
    assert order.billing_reason == sent["billing_reason"]
    assert order.created_at.tzinfo is not None
    assert (order.subscription is None) == (sent["subscription_id"] is None)


@pytest.mark.parametrize("spelling", [ID.upper(), ID.replace("-", ""), f"urn:uuid:{ID}", f"{{{ID}}}"])
def test_an_id_is_reduced_to_one_spelling(spelling: str) -> None:
    """Two spellings of one order's id would be two keys, and so two credits."""
    order = order_like(id=spelling, customer_id=spelling, product_id=spelling)
    assert {order.id, order.customer_id, order.product_id} == {ID}


def test_unknown_fields_are_ignored() -> None:
    assert order_like(invented={"next": ["year"]}) == order_like()


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_body_that_is_not_a_webhook_has_no_type_and_no_envelope(body: bytes) -> None:
    assert peek_type(body) is None
    for read in READERS.values():
        assert reading_error(body, read).startswith("the body cannot be read: ")


@pytest.mark.parametrize(
    ("body", "is_told"),
    [
        (b'{"text": "New order", "blocks": []}', True),  # Slack's
        (b'{"content": "New order", "embeds": []}', True),  # Discord's
        (b'{"type": 7}', False),
        (b"[]", False),
        (b"not json", False),
    ],
)
def test_a_body_in_another_format_than_raw_says_what_to_change(body: bytes, *, is_told: bool) -> None:
    assert ("set the endpoint's format to Raw" in reading_error(body, read_type)) is is_told


@given(st.binary())
def test_any_bytes_are_a_webhook_or_unreadable(body: bytes) -> None:
    """Any other exception would make the receiver answer 500."""
    assert peek_type(body) is None


@pytest.mark.parametrize("what", READERS)
@given(data=st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_is_a_payload_or_unreadable(what: str, data: dict[str, object]) -> None:
    body = json.dumps({"type": ORDER_PAID, "data": data}).encode()
    assert peek_type(body) == ORDER_PAID
    with suppress(UnreadablePayloadError):
        assert READERS[what](body).raw == json.loads(body)["data"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_outside_json_is_unreadable_in_a_field_that_is_read(number: str) -> None:
    body = order_webhook(net_amount="here").replace(b'"here"', number.encode())
    assert "data.net_amount: " in reading_error(body)


@pytest.mark.parametrize("field", ["net_amount", "refunded_amount"])
@given(values=st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)))
def test_the_fields_and_the_whole_agree_about_a_field_that_comes_twice(
    field: str, values: tuple[int, int]
) -> None:
    """They are read separately: a condition must not see another amount than a refund's share is taken of."""
    twice = f'"{field}": {values[0]}, "{field}": {values[1]}'
    body = order_webhook(**{field: "here"}).replace(f'"{field}": "here"'.encode(), twice.encode())
    read = read_order(body)
    assert getattr(read.view, field) == read.raw[field]


@pytest.mark.parametrize("name", [name for name in REAL if name.startswith("subscription_cycled")])
def test_every_real_period_is_read_correctly(name: str) -> None:
    sent, period = json.loads(payload(name))["data"], read_period(payload(name)).view
    assert (period.id, period.customer_id, period.product_id) == (
        sent["id"],
        sent["customer_id"],
        sent["product_id"],
    )
    assert period.current_period_start == datetime.fromisoformat(sent["current_period_start"])


def test_a_real_customer_is_read_correctly() -> None:
    sent, customer = (
        json.loads(payload("customer_created"))["data"],
        read_customer(payload("customer_created")),
    )
    assert customer.view.id == sent["id"]
    assert customer.view.created_at == datetime.fromisoformat(sent["created_at"])


@pytest.mark.parametrize("name", [name for name in REAL if name.startswith("order_refunded")])
def test_every_real_refund_is_read_correctly(name: str) -> None:
    sent, order = json.loads(payload(name))["data"], read_order(payload(name)).view
    fields = ("status", "net_amount", "applied_balance_amount", "refunded_amount")
    assert [getattr(order, field) for field in fields] == [sent[field] for field in fields]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("id", "not-an-id", "data.id"),
        ("id", None, "data.id"),
        ("customer_id", "", "data.customer_id"),
        ("customer_id", None, "data.customer_id"),
        ("product_id", 7, "data.product_id"),
        ("created_at", "2026-11-21T02:13:24", "data.created_at"),
        ("created_at", "yesterday", "data.created_at"),
        ("billing_reason", None, "data.billing_reason"),
        ("refunded_amount", -1, "data.refunded_amount"),
        ("refunded_amount", None, "data.refunded_amount"),
        ("net_amount", "much", "data.net_amount"),
        ("subscription", [], "data.subscription"),
        ("subscription", {"trial_end": "x"}, "data.subscription.trial_end"),
    ],
)
def test_an_unreadable_field_is_named(field: str, value: Any, words: str) -> None:
    assert f"{words}: " in reading_error(order_webhook(**{field: value}))


@pytest.mark.parametrize(
    ("what", "like", "field"),
    [
        ("period", "subscription_cycled", "id"),
        ("period", "subscription_cycled", "customer_id"),
        ("period", "subscription_cycled", "current_period_start"),
        ("customer", "customer_created", "id"),
        ("customer", "customer_created", "created_at"),
    ],
)
@pytest.mark.parametrize("value", [None, "", "x", [], {}], ids=repr)
def test_a_missing_field_of_a_period_or_customer_is_named(
    what: str, like: str, field: str, value: object
) -> None:
    assert f"data.{field}: " in reading_error(webhook(like, **{field: value}), READERS[what])


@pytest.mark.parametrize("field", ["id", "customer_id", "created_at", "net_amount"])
def test_a_reason_shows_no_values(field: str) -> None:
    assert "a-secret" not in reading_error(order_webhook(**{field: "a-secret"}))


TRIAL = "order_paid_trial_start_zero"
FINAL = "order_paid_subscription_cancel_final_invoice"


@pytest.mark.parametrize(
    ("moment", "after", "is_trial"),
    [
        ("trial_start", timedelta(0), True),
        ("trial_start", timedelta(microseconds=-1), False),
        ("trial_end", timedelta(microseconds=-1), True),
        ("trial_end", timedelta(0), False),
    ],
)
def test_a_trial_includes_its_start_and_excludes_its_end(
    moment: str, after: timedelta, is_trial: bool
) -> None:
    subscription = order_like(TRIAL).subscription
    created_at = getattr(subscription, moment) + after
    assert order_like(TRIAL, created_at=created_at.isoformat()).is_trial_start is is_trial


@pytest.mark.parametrize(
    ("after", "is_final"), [(timedelta(microseconds=-1), False), (timedelta(0), True), (timedelta(9), True)]
)
def test_an_invoice_is_final_from_the_moment_of_the_end(after: timedelta, is_final: bool) -> None:
    subscription = order_like(FINAL).subscription
    assert subscription is not None
    assert subscription.ended_at is not None
    created_at = subscription.ended_at + after
    assert order_like(FINAL, created_at=created_at.isoformat()).is_final_invoice is is_final


@pytest.mark.parametrize(
    "field", ["status", "cancel_at_period_end", "current_period_start", "seats", "trial_end"]
)
def test_an_orders_trigger_does_not_depend_on_fields_that_change_later(field: str) -> None:
    """The orders API shows the subscription as of today; a final invoice must remain one there."""
    subscription = json.loads(payload(FINAL))["data"]["subscription"]
    del subscription[field]
    assert order_like(FINAL, subscription=subscription).is_final_invoice


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_update", "purchase"])
def test_only_a_cycles_order_can_be_a_final_invoice(reason: str) -> None:
    assert not order_like(FINAL, billing_reason=reason).is_final_invoice


@pytest.mark.parametrize("reason", ["subscription_cycle", "subscription_update", "purchase"])
def test_only_a_subscriptions_first_order_can_start_a_trial(reason: str) -> None:
    assert not order_like(TRIAL, billing_reason=reason).is_trial_start


def test_an_integer_beyond_64_bits_is_a_decimal_to_expressions_and_spoils_no_other_field() -> None:
    read = read_order(order_webhook(metadata={"huge": 2**63, "low": -(2**70), "fine": 2**63 - 1}))
    assert read.raw["metadata"] == {"huge": 2.0**63, "low": -(2.0**70), "fine": 2**63 - 1}
    assert [type(value) for value in read.raw["metadata"].values()] == [float, float, int]
    expression = compile_expression("order.net_amount + order.metadata.fine % 10")
    assert expression.value(Variables.of_order(read.raw)) == 1007


@pytest.mark.parametrize("place", [b'"status": "paid', b'"zzz": "', b'"id": "'])
def test_a_body_that_is_no_utf_8_cannot_be_read_wherever_that_stands(place: bytes) -> None:
    body = order_webhook(zzz="", status="paid").replace(place, place + b"\xff", 1)
    assert b"\xff" in body
    with pytest.raises(UnreadablePayloadError, match="the body cannot be read: body: invalid unicode"):
        read_order(body)
