"""``credits grants`` as a user types it."""

import csv

from tests.support.builders import CUSTOMER, refund_webhook, some_id
from tests.support.cli_session import Desk, assert_usage_error, purchase, strangers_purchase
from tests.support.processes import Credits

REVOCABLE = """\
version: 1
meters: {api_usage: {}}
rules: [{name: pack, grant: {api_usage: 10}, on_refund: revoke}]
"""


def keys_of(desk: Desk, *args: str) -> list[str]:
    return [one["key"] for one in desk.credits.json("grants", *args)]


def order_key(number: int) -> str:
    return f"credits:order:{some_id(number)}:api_usage"


def test_grants_are_listed_newest_first(desk: Desk) -> None:
    assert desk.credits.run("grants").stdout == "no grants\n"
    desk.grant(purchase(1))
    (delivery,) = desk.grant(purchase(2))
    assert keys_of(desk) == [order_key(2), order_key(1)]
    newest, _ = desk.credits.json("grants")
    granted_at, claimed_at = newest.pop("granted_at"), newest.pop("claimed_at")
    assert claimed_at <= granted_at
    assert newest == {
        "key": order_key(2),
        "customer_id": CUSTOMER,
        "meter": "api_usage",
        "credits": 10,
        "status": "granted",
        "order_id": some_id(2),
        "rules": ["pack"],
        "delivery": delivery,
    }
    assert order_key(2) in desk.credits.run("grants").stdout


def test_grants_are_filtered_by_customer_order_time_and_limit(desk: Desk) -> None:
    desk.grant(purchase(1), purchase(2))
    assert set(keys_of(desk, "--customer", CUSTOMER)) == {order_key(1), order_key(2)}
    assert keys_of(desk, "--customer", some_id(8)) == []
    assert keys_of(desk, "--order", some_id(1)) == [order_key(1)]
    assert len(keys_of(desk, "--since", "1h")) == 2
    assert keys_of(desk, "--since", "2100-01-01T00:00:00Z") == []
    assert keys_of(desk, "--order", some_id(1), "--since", "2100-01-01T00:00:00Z") == []
    assert len(keys_of(desk, "--limit", "1")) == 1


def test_a_take_back_is_negative(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    desk.grant(purchase(1), refund_webhook(300, id=some_id(1)))
    taken, granted = desk.credits.json("grants", "--order", some_id(1))
    assert granted["credits"] == 10
    assert taken["credits"] < 0
    assert taken["key"].startswith(f"credits:refund:{some_id(1)}:300:")


def test_a_new_take_back_of_an_old_order_is_listed_first(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    desk.grant(purchase(1))
    desk.grant(purchase(2))
    desk.grant(refund_webhook(1000, id=some_id(1)))
    refund, *granted = keys_of(desk, "--customer", CUSTOMER)
    assert refund.startswith(f"credits:refund:{some_id(1)}:")
    assert granted == [order_key(2), order_key(1)]
    assert keys_of(desk, "--customer", CUSTOMER, "--limit", "1") == [refund]


def test_a_grant_that_polar_refused_is_listed_only_for_its_order(desk: Desk) -> None:
    desk.grant(strangers_purchase())
    (claimed,) = desk.credits.json("grants", "--order", some_id(9))
    assert (claimed["status"], claimed["granted_at"]) == ("claimed", None)
    assert "not at Polar yet" in desk.credits.run("grants", "--order", some_id(9)).stdout
    assert keys_of(desk) == []


def test_csv_has_the_same_fields(desk: Desk) -> None:
    desk.grant(purchase(1))
    (row,) = csv.DictReader(desk.credits.run("grants", "--csv").stdout.splitlines())
    (report,) = desk.credits.json("grants")
    assert row == {name: str(value) for name, value in (report | {"rules": "pack"}).items()}


def test_contradictory_options_are_a_usage_error(desk: Desk) -> None:
    assert_usage_error(desk.credits.run("grants", "--csv", "--json"), "either --csv or --json")
    both = ("--customer", CUSTOMER, "--order", some_id(1))
    assert_usage_error(desk.credits.run("grants", *both), "give either an order or a customer")


def test_customer_and_order_must_be_ids(alone: Credits) -> None:
    for args in (("--customer", "ada@example.com"), ("--customer", "")):
        assert_usage_error(alone.run("grants", *args), "is not a customer's id at Polar")
    assert_usage_error(alone.run("grants", "--order", "4711"), "'4711' is not an order's id")


def test_an_id_may_have_blanks_and_capitals(desk: Desk) -> None:
    desk.grant(purchase(1))
    assert keys_of(desk, "--order", f" {some_id(1).upper()}") == [order_key(1)]
