"""Customers' balances at Polar after real webhooks, with a rules file that uses every feature."""

import json
from typing import Any

import pytest

from tests.support.builders import PRODUCT, order_webhook
from tests.support.cli_session import Desk
from tests.support.processes import eventually
from tests.support.recordings import PAYLOADS, payload

RULES = f"""\
version: 1
credit_from: 2026-11-01T00:00:00Z
meters:
  api_usage: {{}}
  images: {{}}
  seconds: {{property: amount}}
rules:
  - name: by-money
    products: [{PRODUCT}]
    triggers: [purchase]
    when: order.net_amount >= 500 && order.currency == "usd"
    grant: {{api_usage: order.net_amount / 10}}
    on_refund: revoke
  - name: too-dear
    when: order.net_amount >= 5000
    grant: {{api_usage: 9999}}
  - name: gift
    triggers: [purchase]
    from: 2026-11-01T00:00:00Z
    until: 2027-01-01T00:00:00Z
    grant: {{api_usage: 7, images: 2}}
  - name: over
    until: 2026-11-01T00:00:00Z
    grant: {{api_usage: 9999}}
  - name: bonus
    once_per: customer
    triggers: [purchase, subscription_cycle]
    grant: {{images: 50}}
  - name: seats
    triggers: [subscription_cycle]
    grant: {{api_usage: 1000 * seats}}
  - name: included
    triggers: [subscription.cycled]
    grant: {{seconds: 0.5}}
  - name: welcome
    triggers: [customer.created]
    grant: {{api_usage: 25}}
"""

REFUNDS = ["order_refunded_partial", "order_refunded_second_partial", "order_refunded_full"]


def data_of(name: str) -> Any:
    return json.loads(payload(name))["data"]


ORDER: str = data_of(REFUNDS[0])["id"]
BUYER: str = data_of(REFUNDS[0])["customer_id"]
SUBSCRIBER: str = data_of("order_paid_subscription_cycle")["customer_id"]
NEWCOMER: str = data_of("customer_created")["id"]

BOUGHT = order_webhook(id=ORDER, customer_id=BUYER)  # the order of the recorded refunds
SUBSCRIBED = [
    payload("subscription_cycled"),
    payload("order_paid_subscription_cycle"),
    payload("subscription_cycled_2"),
    payload("order_paid_subscription_cycle_2"),
]


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk with these rules, meters and customers."""
    desk.rules(RULES)
    desk.polar.add_meter("images")
    desk.polar.add_meter("seconds", "amount")
    for customer_id in (BUYER, SUBSCRIBER, NEWCOMER):
        desk.polar.add_customer(customer_id)
    return desk


def balances(desk: Desk, customer_id: str) -> list[float]:
    """Return a customer's balance on each meter."""
    return [float(desk.polar.balance(customer_id, meter)) for meter in ("api_usage", "images", "seconds")]


def refund(desk: Desk, name: str) -> None:
    """Send a recorded refund with ``credits send``, its name as its id, and let a worker settle it."""
    assert desk.credits.run("send", str(PAYLOADS / f"{name}.json"), "--id", name).returncode == 0
    assert desk.credits.run("work", "--burst").returncode == 0


def test_each_rule_credits_once_and_each_refund_takes_its_share_back(shop: Desk) -> None:
    everything = [BOUGHT, *SUBSCRIBED, payload("customer_created")]
    shop.grant(*everything)
    assert balances(shop, BUYER) == [107, 52, 0]
    assert balances(shop, SUBSCRIBER) == [2000, 50, 0.5]  # the first period began before credit_from
    assert balances(shop, NEWCOMER) == [25, 0, 0]
    for name, left in zip(REFUNDS, (77, 57, 7), strict=True):
        refund(shop, name)
        assert balances(shop, BUYER) == [left, 52, 0]
    events = len(shop.polar.events)
    shop.grant(*everything, *map(payload, REFUNDS))  # as a second endpoint would
    assert len(shop.polar.events) == events
    assert shop.listed("--status", "failed") == []


def test_show_lists_every_grant_and_take_back_of_the_order(shop: Desk) -> None:
    (bought,) = shop.grant(BOUGHT)
    for name in REFUNDS[:2]:
        refund(shop, name)
    expected = {
        f"credits:order:{ORDER}:api_usage": 107,
        f"credits:order:{ORDER}:images": 2,
        f"credits:customer:{BUYER}:bonus:images": 50,
        f"credits:refund:{ORDER}:300:api_usage": -30,
        f"credits:refund:{ORDER}:500:api_usage": -20,
    }
    for delivery in (bought, REFUNDS[1]):
        grants = shop.credits.json("show", delivery)["grants"]
        assert {one["key"]: one["credits"] for one in grants} == expected
        assert {(one["status"], one["order_id"], one["customer_id"]) for one in grants} == {
            ("granted", ORDER, BUYER)
        }
    assert shop.status_of(bought) == ("granted", "107 api_usage, 52 images")
    assert shop.status_of(REFUNDS[1]) == ("granted", "took back 20 api_usage")
    shown = shop.credits.run("show", REFUNDS[1]).stdout
    assert f"20 api_usage by by-money, key credits:refund:{ORDER}:500:api_usage" in shown


def test_a_take_back_is_marked_as_one_at_polar(shop: Desk) -> None:
    shop.grant(BOUGHT)
    refund(shop, REFUNDS[0])
    (event,) = [one for one in shop.polar.events if one["metadata"].get("reason") == "refund"]
    assert event["metadata"] == {
        "units": 30,
        "granted_by": "credit-granter",
        "key": f"credits:refund:{ORDER}:300:api_usage",
        "order_id": ORDER,
        "rules": "by-money",
        "reason": "refund",
    }


def test_a_refund_that_arrives_before_its_order_counts_when_the_order_is_credited(shop: Desk) -> None:
    with shop.credits.running("work"):
        (early,) = shop.receive(payload(REFUNDS[0]))
        eventually(lambda: shop.listed("--status", "skipped") == [early])
        shop.receive(BOUGHT)
        eventually(lambda: balances(shop, BUYER) == [77, 52, 0])
    assert (
        shop.status_of(early)[1]
        == "this order has not been credited yet: the refund counts when the order is credited"
    )


def test_a_dry_run_says_what_a_refund_would_take_back_and_changes_nothing(shop: Desk) -> None:
    shop.grant(BOUGHT)
    (waiting,) = shop.receive(payload(REFUNDS[2]))
    before = shop.memory()
    (one,) = shop.credits.json("replay", waiting, "--dry-run")
    assert one["would"] == "took back 100 api_usage"
    assert shop.memory() == before
