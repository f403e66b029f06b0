"""What is read from webhooks: real ones, odd ones and hostile ones."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import order_like, order_webhook
from tests.conftest import PAYLOADS, payload
from workers.errors import UnreadableEventError
from workers.events import ORDER_PAID, Order, peek_type, read_order

REAL = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
PAID = [name for name in REAL if name.startswith("order_paid_")]
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


def reading_error(body: bytes) -> str:
    with pytest.raises(UnreadableEventError) as caught:
        read_order(body)
    return str(caught.value)


@pytest.mark.parametrize("name", REAL)
def test_every_real_webhook_says_its_type(name: str) -> None:
    assert peek_type(payload(name)) == json.loads(payload(name))["type"]


@pytest.mark.parametrize("name", PAID)
def test_every_real_paid_order_is_read_as_it_was_sent(name: str) -> None:
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
def test_an_id_has_one_spelling_whatever_the_senders(spelling: str) -> None:
    """Two spellings of one order would be two keys, and so two credits."""
    order = order_like(id=spelling, customer_id=spelling, product_id=spelling)
    assert {order.id, order.customer_id, order.product_id} == {ID}


def test_fields_that_we_do_not_know_are_no_obstacle() -> None:
    assert order_like(invented={"next": ["year"]}) == order_like()


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_event_has_no_type_and_no_order(body: bytes) -> None:
    assert peek_type(body) is None
    assert reading_error(body).startswith("the body cannot be read: ")


@given(st.binary())
def test_any_bytes_are_an_event_or_unreadable(body: bytes) -> None:
    """No other exception may reach the receiver, where it would be a 500."""
    assert peek_type(body) is None


@given(data=st.dictionaries(st.sampled_from(sorted(Order.model_fields)), json_values))
def test_any_json_is_an_order_or_unreadable(data: dict[str, object]) -> None:
    body = json.dumps({"type": ORDER_PAID, "data": data}).encode()
    assert peek_type(body) == ORDER_PAID
    with suppress(UnreadableEventError):
        assert isinstance(read_order(body), Order)


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
        ("subscription", [], "data.subscription"),
        ("subscription", {"trial_end": "x"}, "data.subscription.trial_end"),
    ],
)
def test_what_cannot_be_read_is_named(field: str, value: Any, words: str) -> None:
    assert f"{words}: " in reading_error(order_webhook(**{field: value}))


def test_a_reason_shows_neither_values_nor_a_hundred_problems() -> None:
    reason = reading_error(
        order_webhook(id="a-secret", customer_id="a-secret", created_at="a-secret", billing_reason=[])
    )
    assert "a-secret" not in reason
    assert reason.endswith("(and 1 more)")


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
def test_a_trial_has_begun_at_its_start_and_is_over_at_its_end(
    moment: str, after: timedelta, is_trial: bool
) -> None:
    subscription = order_like(TRIAL).subscription
    created_at = getattr(subscription, moment) + after
    assert order_like(TRIAL, created_at=created_at.isoformat()).is_trial_start is is_trial


@pytest.mark.parametrize(
    ("after", "is_final"), [(timedelta(microseconds=-1), False), (timedelta(0), True), (timedelta(9), True)]
)
def test_an_invoice_is_final_from_the_very_moment_of_the_end(after: timedelta, is_final: bool) -> None:
    subscription = order_like(FINAL).subscription
    assert subscription is not None
    assert subscription.ended_at is not None
    created_at = subscription.ended_at + after
    assert order_like(FINAL, created_at=created_at.isoformat()).is_final_invoice is is_final


@pytest.mark.parametrize(
    "field", ["status", "cancel_at_period_end", "current_period_start", "seats", "trial_end"]
)
def test_what_an_order_is_does_not_hang_on_what_changes_later(field: str) -> None:
    """The orders API shows the subscription as it is now; a final invoice must stay one there."""
    subscription = json.loads(payload(FINAL))["data"]["subscription"]
    del subscription[field]
    assert order_like(FINAL, subscription=subscription).is_final_invoice


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_update", "purchase"])
def test_only_a_cycles_order_can_be_a_final_invoice(reason: str) -> None:
    assert not order_like(FINAL, billing_reason=reason).is_final_invoice


@pytest.mark.parametrize("reason", ["subscription_cycle", "subscription_update", "purchase"])
def test_only_a_subscriptions_first_order_can_start_a_trial(reason: str) -> None:
    assert not order_like(TRIAL, billing_reason=reason).is_trial_start
