"""Orders, and attempts to deliver webhooks, as the stand-in lists them."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from pydantic import ValidationError

from app.demo.polar import Polar
from app.demo.polar.seeding import add_past_sales
from tests.support.builders import CUSTOMER, PRODUCT, some_id
from tests.support.polar_standin import ask
from tests.support.recordings import payload

ORDERS = "/v1/orders/"
DELIVERIES = "/v1/webhooks/deliveries"
NOON = "2026-11-20T12:00:00Z"


@pytest.fixture
def polar() -> Polar:
    """Return an empty organization."""
    return Polar()


def buy(polar: Polar, number: int, **fields: Any) -> None:
    """Add order ``number``, paid that many minutes after noon."""
    usual = {"created_at": f"2026-11-20T12:{number:02}:00Z", "status": "paid", "customer_id": CUSTOMER}
    polar.add_order(**{"id": some_id(number), **usual, **fields})


def attempt(polar: Polar, number: int, **fields: Any) -> None:
    """Add a failed attempt to deliver a webhook, that many minutes after noon."""
    usual = {"created_at": f"2026-11-20T12:{number:02}:00Z"}
    polar.add_delivery(some_id(number), payload("order_paid_purchase"), **{**usual, **fields})


def listed(polar: Polar, path: str, **params: Any) -> list[int]:
    """Return the numbers of the listed orders or webhooks."""
    answer = ask(polar, "GET", path, params=params).json()
    rows = [row.get("webhook_event", row) for row in answer["items"]]
    numbers = {some_id(number): number for number in range(60)}
    return [numbers[row["id"]] for row in rows]


def test_orders_are_listed_newest_first_by_default(polar: Polar) -> None:
    for number in (2, 1, 3):
        buy(polar, number)
    assert listed(polar, ORDERS) == [3, 2, 1]
    assert listed(polar, ORDERS, sorting="created_at") == [1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "paid"}, [1, 3]),
        ({"status": ["pending", "refunded"]}, [2, 4]),
        ({"customer_id": some_id(50)}, [2]),
        ({"product_id": PRODUCT}, [3]),
        ({"product_id": [PRODUCT, some_id(51)]}, [3, 4]),
        ({"subscription_id": some_id(52)}, [4]),
        ({"created_after": "2026-11-20T12:02:00Z"}, [3, 4]),
        ({"created_before": "2026-11-20T14:03:00+02:00"}, [1, 2]),
        ({"status": "paid", "created_after": "2026-11-20T12:01:30Z"}, [3]),
        ({"limit": 3, "page": 2}, [4]),
        ({"limit": 3, "page": 3}, []),
        ({"something": "new"}, [1, 2, 3, 4]),
    ],
    ids=str,
)
def test_orders_are_filtered_by_content_and_time(
    polar: Polar, asked: dict[str, Any], found: list[int]
) -> None:
    buy(polar, 1)
    buy(polar, 2, status="pending", customer_id=some_id(50))
    buy(polar, 3, product_id=PRODUCT)
    buy(polar, 4, status="refunded", product_id=some_id(51), subscription_id=some_id(52))
    assert listed(polar, ORDERS, sorting="created_at", **asked) == found


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"status": "payed"}, "status"),
        ({"sorting": "colour"}, "sorting"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"customer_id": "nobody"}, "customer_id"),
        ({"page": 0}, "page"),
        ({"limit": 0}, "limit"),
    ],
    ids=str,
)
def test_an_invalid_filter_is_refused(polar: Polar, asked: dict[str, Any], place: str) -> None:
    answer = ask(polar, "GET", ORDERS, params=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["query", place]


def test_an_order_is_listed_as_it_was_added(polar: Polar) -> None:
    order = json.loads(payload("order_paid_subscription_cycle"))["data"]
    polar.add_order(**order)
    assert ask(polar, "GET", ORDERS).json() == {
        "items": [order],
        "pagination": {"total_count": 1, "max_page": 1},
    }


def test_an_order_added_again_replaces_the_first(polar: Polar) -> None:
    buy(polar, 1, status="pending")
    buy(polar, 1, status="paid")
    assert listed(polar, ORDERS, status="paid") == [1]
    assert listed(polar, ORDERS) == [1]


def test_an_invalid_order_cannot_be_added(polar: Polar) -> None:
    with pytest.raises(ValidationError):
        buy(polar, 1, status="payed")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"succeeded": "false"}, [4, 1]),
        ({"succeeded": "true"}, [3, 2]),
        ({"start_timestamp": "2026-11-20T12:02:00Z"}, [4, 3]),
        ({"end_timestamp": "2026-11-20T12:02:00Z"}, [1]),
        ({"succeeded": "false", "start_timestamp": NOON, "end_timestamp": "2026-11-20T12:03:00Z"}, [1]),
        ({"event_type": "order.paid"}, [4, 3, 2, 1]),
        ({"event_type": "order.refunded"}, []),
        ({"limit": 3, "page": 2}, [1]),
    ],
    ids=str,
)
def test_attempts_are_filtered_by_success_and_time(
    polar: Polar, asked: dict[str, Any], found: list[int]
) -> None:
    attempt(polar, 1)
    attempt(polar, 2, succeeded=True, http_code=202)
    attempt(polar, 3, succeeded=True, http_code=202)
    attempt(polar, 4)
    assert listed(polar, DELIVERIES, **asked) == found


def test_each_attempt_is_a_row_and_each_row_has_the_webhooks_id_and_its_whole_body(polar: Polar) -> None:
    body = payload("order_paid_unicode_tax")
    for minute in (1, 2):
        polar.add_delivery(some_id(9), body, created_at=f"2026-11-20T12:0{minute}:00Z")

    rows = ask(polar, "GET", DELIVERIES).json()["items"]

    assert [row["created_at"] for row in rows] == ["2026-11-20T12:02:00Z", "2026-11-20T12:01:00Z"]
    assert rows[0]["id"] != rows[1]["id"]
    for row in rows:
        assert (row["webhook_event"]["id"], row["webhook_event"]["type"]) == (some_id(9), "order.paid")
        assert row["webhook_event"]["payload"].encode() == body


@pytest.mark.parametrize("path", [ORDERS, DELIVERIES])
@pytest.mark.parametrize(("token", "status"), [("polar_oat_other", 401), (None, 401), (Polar.token, 403)])
def test_orders_and_deliveries_require_a_scope(
    polar: Polar, path: str, token: str | None, status: int
) -> None:
    polar.scopes -= {"orders:read", "webhooks:read"}
    assert ask(polar, "GET", path, token=token).status_code == status


def test_past_sales_have_one_without_a_webhook_and_one_whose_webhook_failed() -> None:
    polar = Polar()
    customer = polar.add_customer()
    product = polar.add_product()
    add_past_sales(polar)
    assert {(str(o.customer_id), str(o.product_id)) for o in polar.orders.values()} == {
        (str(customer.id), str(product.id))
    }
    (attempt,) = polar.deliveries
    assert len(polar.orders) == 2
    assert not attempt.succeeded
    assert json.loads(attempt.webhook_event.payload or "")["data"]["id"] in polar.orders


def test_disputes_are_filtered_by_status_and_order(polar: Polar) -> None:
    customer = str(polar.add_customer(CUSTOMER).id)
    for number in (1, 2):
        buy(polar, number, customer_id=customer)
    lost = polar.add_dispute(some_id(1), amount=1000, tax_amount=200)
    polar.add_dispute(some_id(2), amount=500, status="under_review")

    (shown,) = ask(polar, "GET", "/v1/disputes/", params={"status": "lost"}).json()["items"]

    assert shown["id"] == str(lost.id)
    assert (shown["amount"], shown["tax_amount"], shown["order_id"]) == (1000, 200, some_id(1))
    assert (shown["resolved"], shown["closed"], shown["customer"]["id"]) == (True, True, CUSTOMER)
    (other,) = ask(polar, "GET", "/v1/disputes/", params={"order_id": some_id(2)}).json()["items"]
    assert (other["status"], other["resolved"], other["closed"]) == ("under_review", False, False)


def test_disputes_need_their_scope(polar: Polar) -> None:
    polar.scopes = frozenset({"orders:read"})
    assert ask(polar, "GET", "/v1/disputes/").status_code == 403


@pytest.mark.parametrize(
    "name", ["subscription_created_by_api_free_no_order", "subscription_paused", "subscription_resumed"]
)
def test_a_subscription_is_shown_as_it_is_now_and_makes_no_order(polar: Polar, name: str) -> None:
    data = json.loads(payload(name))["data"]
    polar.add_subscription(**{**data, "status": "trialing"})
    polar.add_subscription(**data)

    assert ask(polar, "GET", "/v1/subscriptions/").json()["items"] == [data]
    assert ask(polar, "GET", f"/v1/subscriptions/{data['id']}").json() == data
    assert ask(polar, "GET", f"/v1/subscriptions/{some_id(1)}").status_code == 404
    assert ask(polar, "GET", "/v1/subscriptions/", params={"status": "trialing"}).json()["items"] == []
    assert not polar.orders


def subscribe(polar: Polar, number: int, customer: int) -> None:
    moment = f"2026-11-20T12:{number:02}:00Z"
    usual = {"id": some_id(number), "status": "active", "product_id": PRODUCT, "started_at": moment}
    polar.add_subscription(**usual, customer_id=some_id(customer))


def test_subscriptions_are_listed_for_several_customers_at_once(polar: Polar) -> None:
    for number, customer in ((1, 51), (2, 52), (3, 51), (4, 53)):
        subscribe(polar, number, customer)
    params = {"customer_id": [some_id(51), some_id(53)], "sorting": "started_at"}
    assert listed(polar, "/v1/subscriptions/", **params) == [1, 3, 4]
    assert listed(polar, "/v1/subscriptions/", **params, limit=2, page=2) == [4]


def test_the_date_of_its_answers_can_be_moved(polar: Polar) -> None:
    polar.ahead = timedelta(days=31)
    answer = ask(polar, "GET", ORDERS)
    ahead = parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
    assert abs(ahead - timedelta(days=31)) < timedelta(minutes=1)
