"""``credits balance`` as a user types it: the balance at Polar beside what we granted and took back."""

import json

import pytest

from tests.support.builders import CUSTOMER, refund_webhook, some_id
from tests.support.cli_session import (
    STRANGER,
    Desk,
    assert_one_line_error,
    assert_usage_error,
    purchase,
    strangers_purchase,
)
from tests.support.polar_standin import INGEST, ask
from tests.support.processes import TEN, TOKEN

pytestmark = pytest.mark.heavy  # starts a command for each test

REVOCABLE = TEN.replace("api_usage: 10}", "api_usage: 10}, on_refund: revoke")


def use(desk: Desk, units: int) -> None:
    """Send usage to Polar, as the merchant's storefront does."""
    event = {"name": "api_usage", "customer_id": CUSTOMER, "metadata": {"units": units}}
    assert ask(desk.polar, "POST", INGEST, token=TOKEN, json={"events": [event]}).status_code == 200


@pytest.fixture
def ada(desk: Desk) -> Desk:
    """Return a desk where Ada has bought twice, got a partial refund, and used some credits."""
    desk.polar.add_customer(CUSTOMER, email="ada@example.com", external_id="user_42")
    desk.rules(REVOCABLE)
    desk.grant(purchase(1), purchase(2))
    desk.grant(refund_webhook(500, id=some_id(1)))
    use(desk, 12)
    return desk


@pytest.mark.parametrize(
    "name",
    [("--customer", CUSTOMER), ("--external-customer", "user_42"), ("--email", "Ada@Example.com")],
    ids=lambda name: name[0],
)
def test_polars_balance_is_shown_beside_our_totals(ada: Desk, name: tuple[str, str]) -> None:
    (report,) = ada.credits.json("balance", *name)
    assert report == {
        "meter": "api_usage",
        "polar_meter": "api_usage",
        "balance": 3,
        "granted": 20,
        "taken_back": 5,
        "not_at_polar_yet": 0,
    }


def test_it_prints_a_table_and_changes_nothing(ada: Desk) -> None:
    before = ada.memory()
    done = ada.credits.run("balance", "--customer", CUSTOMER)
    assert (done.returncode, done.stderr) == (0, "")
    header, row = done.stdout.splitlines()
    assert header.split()[:4] == ["meter", "left", "at", "Polar"]
    assert row.split() == ["api_usage", "3", "20", "5", "api_usage"]
    assert ada.memory() == before


def test_a_customer_who_used_too_much_has_a_negative_balance(ada: Desk) -> None:
    use(ada, 10)
    assert ada.credits.json("balance", "--customer", CUSTOMER)[0]["balance"] == -7


def test_credits_that_polar_does_not_have_yet_are_listed_separately(desk: Desk) -> None:
    desk.grant(strangers_purchase())
    desk.polar.add_customer(STRANGER)
    assert "not at Polar yet: 10 api_usage" in desk.credits.run("balance", "--customer", STRANGER).stdout
    (report,) = desk.credits.json("balance", "--customer", STRANGER)
    assert (report["balance"], report["granted"], report["not_at_polar_yet"]) == (None, 0, 10)


def test_it_says_when_a_customer_has_no_credits(desk: Desk) -> None:
    assert "has no balance at Polar" in desk.credits.run("balance", "--customer", CUSTOMER).stdout
    assert desk.credits.json("balance", "--customer", CUSTOMER) == []


def test_the_ledger_is_shown_for_a_customer_deleted_at_polar(ada: Desk) -> None:
    ada.polar.customers.clear()
    done = ada.credits.run("balance", "--customer", CUSTOMER, "--json")
    assert done.returncode == 0
    assert "Polar has no customer" in done.stderr
    assert [(one["granted"], one["taken_back"]) for one in json.loads(done.stdout)] == [(20, 5)]
    assert_one_line_error(ada.credits.run("balance", "--external-customer", "user_42"), "has no customer")


def test_each_obstacle_is_a_one_line_error(desk: Desk) -> None:
    nobody = desk.credits.run("balance", "--email", "nobody@example.com")
    assert_one_line_error(nobody, "Polar has no customer", "nobody@example.com")
    desk.polar.scopes -= {"customer_meters:read"}
    assert_one_line_error(desk.credits.run("balance", "--customer", CUSTOMER), "customer_meters:read")
    desk.polar.scopes -= {"customers:read", "customers:write"}
    unnamed = desk.credits.run("balance", "--email", "ada@example.com")
    assert_one_line_error(unnamed, "give the token the scope customers:read", "`credits check` says")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "give one of --customer, --external-customer and --email"),
        (
            ("--customer", CUSTOMER, "--email", "a@b"),
            "give only one of --customer, --external-customer and --email",
        ),
        (("--customer", "ada"), "is not a customer's id at Polar"),
    ],
)
def test_an_invalid_customer_option_is_a_usage_error(desk: Desk, args: tuple[str, ...], words: str) -> None:
    assert_usage_error(desk.credits.run("balance", *args), words)


def test_the_meters_of_the_rules_come_first_and_others_only_on_request(ada: Desk) -> None:
    ada.polar.add_meter("aardvarks")
    event = {"name": "aardvarks", "customer_id": CUSTOMER, "metadata": {"units": 7}}
    assert ask(ada.polar, "POST", INGEST, token=TOKEN, json={"events": [event]}).status_code == 200
    done = ada.credits.run("balance", "--customer", CUSTOMER)
    assert "aardvarks" not in done.stdout
    assert done.stdout.endswith("1 meter that no rule credits: --all shows them\n")
    rows = ada.credits.run("balance", "--customer", CUSTOMER, "--all").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["api_usage", "aardvarks"]
    found = ada.credits.json("balance", "--customer", CUSTOMER)
    assert [one["meter"] for one in found] == ["api_usage", "aardvarks"]
