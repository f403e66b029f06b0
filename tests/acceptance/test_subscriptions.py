"""Subscriptions that begin without an order or resume, and deleted customers: from webhook to Polar."""

import json

import httpx

from tests.support.builders import CUSTOMER, webhook
from tests.support.cli_session import Desk, purchase
from tests.support.ledgers import ledger_in
from tests.support.processes import eventually, post
from tests.support.recordings import payload

RULES = """\
version: 1
meters: {api_usage: {}}
rules:
  - {name: start, triggers: [subscription.created, trial_start], grant: {api_usage: 100}}
  - {name: period, triggers: [subscription.cycled], grant: {api_usage: 7}}
"""

STARTED = webhook("subscription_created_by_api_free_no_order", customer_id=CUSTOMER)
TRIAL = webhook("subscription_created_trialing", customer_id=CUSTOMER)
TRIAL_ORDER = webhook("order_paid_trial_start_zero", customer_id=CUSTOMER)
RESUMED = webhook("subscription_resumed", customer_id=CUSTOMER)
CYCLED = RESUMED.replace(b'"subscription.resumed"', b'"subscription.cycled"')
SUBSCRIPTION = json.loads(STARTED)["data"]["id"]


def test_each_start_and_period_is_credited_once_and_survives_a_lost_redis(desk: Desk) -> None:
    desk.rules(RULES)
    everything = (STARTED, TRIAL, TRIAL_ORDER, RESUMED, CYCLED)
    desk.grant(*everything)
    assert desk.polar.balance(CUSTOMER, "api_usage") == 207
    keys = {one["key"] for one in desk.credits.json("grants")}
    assert f"credits:subscription:{SUBSCRIPTION}:api_usage" in keys
    before = ledger_in(desk.redis)
    desk.redis.flushall()
    desk.credits.json("rebuild", "--yes")
    assert ledger_in(desk.redis).keys() == before.keys()
    desk.grant(*everything)
    assert desk.polar.balance(CUSTOMER, "api_usage") == 207
    assert {one["key"] for one in desk.credits.json("grants")} == keys


def test_a_customer_deleted_at_polar_is_forgotten_where_that_is_switched_on(desk: Desk) -> None:
    here = desk.credits.with_settings(CREDITS_FORGET_DELETED="1", PORT="0")
    with here.running("up") as up, httpx.Client(base_url=up.url()) as receiver:
        granted = post(receiver, purchase(1))
        eventually(lambda: desk.status_of(granted)[0] == "granted")
        deleted = post(receiver, webhook("customer_deleted", id=CUSTOMER))
        eventually(lambda: desk.status_of(deleted) == ("skipped", "customer deleted: 1 other body erased"))
    assert here.json("show", granted)["body"] is None
    assert "@" not in here.json("show", deleted)["body"]
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10


def test_elsewhere_a_deleted_customer_is_ignored(desk: Desk) -> None:
    desk.receive(payload("customer_deleted"))
    assert desk.listed() == []
