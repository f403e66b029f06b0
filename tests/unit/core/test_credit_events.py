"""What credit events are called, and whose own customer id they tell."""

import json
from typing import Any

import pytest

from tests.support.builders import offer_request
from tests.support.recordings import payload
from workers.core.credit_events import external_customer_id
from workers.core.event_names import EventName


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        (EventName("credits:order:1", "api:usage"), "credits:order:1:api:usage"),
        (EventName("credits:manual:beta:user:api_usage", "api_usage"), "credits:manual:beta:user:api_usage"),
        (EventName.of_failure("offer-referral:k1", 3), "offer-referral:k1:3"),
    ],
)
def test_the_id_of_an_event_is_the_grants_key_or_the_delivery_and_its_attempt(
    name: EventName, id_: str
) -> None:
    assert name.id == id_


@pytest.mark.parametrize(
    "recorded",
    ["order_paid_purchase", "order_refunded_full", "subscription_cycled", "customer_created"],
)
def test_every_recorded_kind_of_webhook_shows_the_customers_own_id(recorded: str) -> None:
    data = json.loads(payload(recorded))["data"]
    customer = data if recorded == "customer_created" else data["customer"]
    assert external_customer_id(payload(recorded)) == customer["external_id"] is not None


def test_an_offers_request_may_name_the_customers_own_id() -> None:
    named = offer_request(customer_id=None, external_customer_id="user-17")
    assert external_customer_id(named.body) == "user-17"
    assert external_customer_id(offer_request().body) is None


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"data": None},
        {"data": {"customer": "user-17"}},
        {"data": {"customer": {"external_id": None}}},
        {"data": {"customer": {"external_id": ""}}},
        {"data": {"customer": {"external_id": 17}}},
        {"type": "customer.created", "data": {}},
    ],
)
def test_where_no_body_tells_it_nothing_is_invented(body: Any) -> None:
    assert external_customer_id(json.dumps(body).encode()) is None


def test_an_erased_body_tells_nothing() -> None:
    assert external_customer_id(b"") is None
