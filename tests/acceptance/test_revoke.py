"""``credits revoke`` in real processes."""

import json

import pytest

from tests.support.builders import CUSTOMER, ORDER, refund_webhook, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.processes import TEN
from tests.support.recordings import payload

pytestmark = pytest.mark.heavy  # starts a command for each test

PURCHASE = payload("order_paid_purchase")
MINE = json.loads(PURCHASE)["data"]["id"]
REVOCABLE = TEN.replace("api_usage: 10}", "api_usage: 10}, on_refund: revoke")
KEY = f"credits:revoke:{MINE}:api_usage"


@pytest.fixture(autouse=True)
def _sold(desk: Desk) -> None:
    """Receive and credit the order that the tests revoke."""
    assert MINE == ORDER
    desk.grant(PURCHASE)


def test_an_orders_credits_are_taken_back_once(desk: Desk) -> None:
    for _ in range(2):
        (one,) = desk.credits.json("revoke", ORDER)
        assert (one["key"], one["credits"], one["status"]) == (KEY, -10, "granted")
        assert (one["order_id"], one["customer_id"], one["rules"]) == (ORDER, CUSTOMER, ["pack"])
        assert desk.polar.balance(CUSTOMER, "api_usage") == 0
    assert desk.polar.events[-1]["metadata"]["reason"] == "revoke"
    assert len(desk.polar.events) == 2


def test_it_prints_the_credits_and_the_outcome(desk: Desk) -> None:
    completed = desk.credits.run("revoke", ORDER)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "would" in completed.stdout
    assert "take back 10 api_usage" in completed.stdout
    assert completed.stdout.splitlines()[-1] == "took back 10 api_usage"
    again = desk.credits.run("revoke", ORDER)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing: all of this order's credits have already been taken back" in again.stdout


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    before = desk.memory()
    assert "take back 10 api_usage" in desk.credits.run("revoke", ORDER, "--dry-run").stdout
    (planned,) = desk.credits.json("revoke", ORDER, "--dry-run")
    assert (planned["key"], planned["credits"], planned["status"]) == (KEY, -10, "planned")
    assert desk.memory() == before


def test_a_refund_and_a_revoke_never_take_the_same_credits_twice(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    desk.grant(payload("order_paid_purchase").replace(ORDER.encode(), some_id(7).encode()))
    desk.grant(refund_webhook(300, id=some_id(7)))
    assert desk.polar.balance(CUSTOMER, "api_usage") == 17
    (one,) = desk.credits.json("revoke", some_id(7))
    assert one["credits"] == -7
    (late,) = desk.grant(refund_webhook(1000, id=some_id(7)))
    assert desk.status_of(late) == ("skipped", "the refunded share has already been taken back")
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10


def test_it_says_when_an_order_was_not_credited(desk: Desk) -> None:
    done = desk.credits.run("revoke", some_id(5))
    assert_one_line_error(done, f"order {some_id(5)} has not been credited")


def test_a_meter_that_the_order_lacks_is_refused(desk: Desk) -> None:
    done = desk.credits.run("revoke", ORDER, "--meter", "api_usge")
    assert_one_line_error(done, "unknown meter 'api_usge'; did you mean 'api_usage'?")
    assert desk.credits.run("revoke", ORDER, "--meter", "api_usage").returncode == 0


def test_an_order_must_be_named_by_its_id(desk: Desk) -> None:
    assert_usage_error(desk.credits.run("revoke", "ada"), "'ada' is not an order's id")


def test_a_revocation_can_be_shown_explained_and_replayed(desk: Desk) -> None:
    (one,) = desk.credits.json("revoke", ORDER)
    assert one["delivery"] == f"revoke-{ORDER}"
    shown = desk.credits.json("show", one["delivery"])
    assert (shown["type"], shown["status"]) == ("manual.revoke", "granted")
    assert shown["reason"] == "took back 10 api_usage"
    assert "nothing: all of this order's credits" in desk.credits.json("explain", one["delivery"])["outlook"]
    (replayed,) = desk.credits.json("replay", one["delivery"], "--yes")
    assert replayed["reason"] == "took back 10 api_usage"
    assert len(desk.polar.events) == 2
