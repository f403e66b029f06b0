"""What a credit event says of each settlement: grants, what is taken back, failures."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.support.adjusted_orders import adjust, buy, pack
from tests.support.builders import (
    CUSTOMER,
    ORDER,
    PAID_CENTS,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.polar_orders import Operations
from tests.support.telling import KEY, STRANGER, count, telling_operations_at, told
from workers.core.delivery import Status
from workers.core.manual import ManualGrant, ManualRevoke
from workers.store import outbox

REVOCABLE = rules_of(rule("pack", {"api_usage": 10}, on_refund="revoke", on_dispute="revoke"))


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with telling_operations_at(redis) as opened:
        yield opened


def test_a_grant_is_told_once_with_what_the_ledger_says(operations: Operations) -> None:
    assert operations.deliver(order_webhook(id=ORDER)) is Status.GRANTED
    (event,) = told(operations.redis)
    (entry,) = operations.ledger.find(f"credits:order:{ORDER}").claims
    settled_at = entry.settled["api_usage"].isoformat(timespec="milliseconds")
    assert event == {
        "id": KEY,
        "type": "credit.granted",
        "timestamp": settled_at.replace("+00:00", "Z"),
        "data": {
            "key": KEY,
            "customer_id": CUSTOMER,
            "external_customer_id": "usr_00d7ec8bb4",  # of the recorded webhook
            "meter": "api_usage",
            "credits": 10,
            "order_id": ORDER,
            "rules": ["pack"],
            "reason": None,
        },
    }
    assert told(operations.redis) == []
    assert operations.redis.exists(*outbox.OUTBOX_KEYS) == 1  # the list of those that were sent
    assert count(operations.redis, "credit_events_sent credit.granted") == 1


def test_nothing_is_told_where_no_storefront_is_named(operations: Operations) -> None:
    operations.tells_storefront = False
    operations.deliver(order_webhook(id=ORDER))
    operations.rules = rules_of(rule("pack", {"api_usage": "order.nothing"}))
    assert operations.deliver(order_webhook(id=some_id(5)), "msg-2") is Status.FAILED
    assert operations.redis.exists(*outbox.OUTBOX_KEYS) == 0


def test_the_customers_own_id_is_told_wherever_a_stored_body_has_it(operations: Operations) -> None:
    operations.rules = REVOCABLE
    customer = {"id": CUSTOMER, "external_id": "user-17", "email": "x@example.com"}
    operations.deliver(order_webhook(id=ORDER, customer=customer))
    operations.deliver(refund_webhook(300, customer=customer), "msg-2")
    request = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER)  # its own body names no customer
    _, type_, body = request.delivery()
    operations.deliver(body, request.delivery_id)
    assert type_ == "manual.revoke"
    found = {one["id"]: one["data"]["external_customer_id"] for one in told(operations.redis)}
    assert found == {
        KEY: "user-17",
        f"credits:refund:{ORDER}:300:api_usage": "user-17",
        f"credits:revoke:{ORDER}:api_usage": "user-17",
    }


def test_what_is_taken_back_is_told_as_a_positive_number(operations: Operations) -> None:
    operations.rules = REVOCABLE
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(refund_webhook(PAID_CENTS // 2), "msg-2")
    operations.deliver(dispute_webhook(1, PAID_CENTS // 5), "msg-3")
    taken = [one for one in told(operations.redis) if one["id"] != KEY]
    shown = {
        (one["type"], one["data"]["key"], one["data"]["credits"], one["data"]["reason"]) for one in taken
    }
    assert shown == {
        ("credit.taken_back", f"credits:refund:{ORDER}:500:api_usage", 5, "refund"),
        ("credit.taken_back", f"credits:dispute:{some_id(1)}:api_usage", 2, "dispute"),
    }
    assert {one["data"]["order_id"] for one in taken} == {ORDER}


def test_an_adjustment_is_told_by_its_sign(operations: Operations) -> None:
    operations.rules = pack(5)
    buy(operations, 1)
    for units in (50, 20):
        operations.rules = pack(units)
        adjust(operations)
    shown = {(one["type"], one["data"]["credits"], one["data"]["reason"]) for one in told(operations.redis)}
    assert shown == {
        ("credit.granted", 12, None),
        ("credit.granted", 45, "adjust from 5 to 50"),
        ("credit.taken_back", 30, "adjust from 50 to 20"),
    }


def test_a_grant_by_hand_is_told_with_its_reason_and_no_rules(operations: Operations) -> None:
    request = ManualGrant(
        key="beta", customer="m\u00fcller", customer_id=CUSTOMER, meter="api_usage", property_name="units",
        units=5, reason="sorry",
    )  # fmt: skip
    operations.deliver(request.delivery()[2], request.delivery_id)
    (event,) = told(operations.redis)
    assert event["id"] == event["data"]["key"] == request.subject
    assert (event["data"]["rules"], event["data"]["reason"], event["data"]["order_id"]) == ([], "sorry", None)


def test_a_failure_tells_why_and_what_was_not_granted(operations: Operations) -> None:
    assert operations.deliver(order_webhook(id=ORDER, customer_id=STRANGER)) is Status.FAILED
    (event,) = told(operations.redis)
    (failed,) = operations.store.get(["msg-1"])
    assert failed.settled_at is not None
    assert (event["id"], event["type"]) == ("msg-1:1", "credit.failed")
    assert event["timestamp"] == failed.settled_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert event["data"] == {
        "key": KEY,
        "customer_id": STRANGER,
        "external_customer_id": "usr_00d7ec8bb4",
        "meter": "api_usage",
        "credits": 10,
        "order_id": ORDER,
        "rules": ["pack"],
        "reason": failed.reason,
    }


def test_a_failure_before_any_plan_names_no_grant(operations: Operations) -> None:
    operations.rules = rules_of(rule("pack", {"api_usage": "order.nothing"}))
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(b"not even JSON", "msg-2")
    first, second = sorted(told(operations.redis), key=lambda one: str(one["id"]))
    nothing: dict[str, Any] = {"key": None, "meter": None, "credits": None, "rules": []}
    assert first["data"] | nothing == first["data"]
    assert (first["data"]["order_id"], first["data"]["customer_id"]) == (ORDER, CUSTOMER)
    unknown = {"order_id": None, "customer_id": None, "external_customer_id": None}
    assert second["data"] | nothing | unknown == second["data"]
    assert "cannot be read" in second["data"]["reason"]


def test_a_failure_of_several_grants_names_none_of_them(operations: Operations) -> None:
    operations.rules = rules_of(rule("pack", {"api_usage": 10, "images": 5}))
    operations.deliver(order_webhook(id=ORDER, customer_id=STRANGER))
    (event,) = told(operations.redis)
    assert (event["data"]["key"], event["data"]["meter"], event["data"]["order_id"]) == (None, None, ORDER)


def test_each_failure_and_the_credit_after_them_is_told(operations: Operations) -> None:
    body = order_webhook(id=ORDER, customer_id=STRANGER)
    operations.deliver(body)
    operations.deliver(body)  # a replay, before the first failure was told
    operations.polar.add_customer(STRANGER)
    assert operations.deliver(body) is Status.GRANTED
    found = {one["id"]: one for one in told(operations.redis)}
    assert set(found) == {"msg-1:1", "msg-1:2", KEY}
    assert found["msg-1:1"]["data"]["credits"] == 10  # it was not granted then
