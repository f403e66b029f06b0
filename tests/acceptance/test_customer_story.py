"""Where are my credits? A customer by id, own id or e-mail address, for deliveries, grants and explain."""

import pytest

from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.terminals import at_a_terminal

pytestmark = pytest.mark.heavy  # starts a command for each test

OTHER = some_id(77)
WAYS = [["--customer", CUSTOMER], ["--external-customer", "user-42"], ["--email", "Ada@Example.com"]]


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk with two customers; the first has an order that was credited and one that failed."""
    desk.polar.add_customer(CUSTOMER, email="ada@example.com", external_id="user-42")
    desk.polar.add_customer(OTHER, email="grace@example.com")
    desk.rules(
        "version: 1\n"
        "meters: {api_usage: {}}\n"
        "rules:\n"
        "  - {name: pack, grant: {api_usage: 'order.metadata.credits'}, on_refund: revoke}\n"
    )
    desk.grant(
        order_webhook(id=some_id(1), metadata={"credits": 10}),
        order_webhook(id=some_id(2), metadata={}),
        order_webhook(id=some_id(3), metadata={"credits": 5}, customer_id=OTHER),
    )
    return desk


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[0])
def test_the_story_of_a_customer_is_told_however_they_are_named(shop: Desk, way: list[str]) -> None:
    story = shop.credits.json("explain", *way)
    assert story["customer_id"] == CUSTOMER
    assert [(one["order_id"], one["status"]) for one in story["deliveries"]] == [
        (some_id(1), "granted"),
        (some_id(2), "failed"),
    ]
    assert story["meters"] == {"api_usage": {"granted": 10, "taken_back": 0}}
    assert [one["credits"] for one in story["grants"]] == [10]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[0])
def test_deliveries_and_grants_take_the_same_names(shop: Desk, way: list[str]) -> None:
    listed = shop.credits.json("deliveries", *way)
    assert [one["order_id"] for one in listed] == [some_id(2), some_id(1)]  # newest first
    assert [one["order_id"] for one in shop.credits.json("deliveries", *way, "--status", "failed")] == [
        some_id(2)
    ]
    assert [one["order_id"] for one in shop.credits.json("grants", *way)] == [some_id(1)]


def test_deliveries_about_an_order_include_those_that_wait(shop: Desk) -> None:
    shop.receive(order_webhook("order_refunded_full", id=some_id(1)))
    listed = shop.credits.json("deliveries", "--order", some_id(1))
    assert [(one["type"], one["status"]) for one in listed] == [
        ("order.refunded", "waiting"),
        ("order.paid", "granted"),
    ]


def test_what_a_person_can_do_is_the_last_line(shop: Desk) -> None:
    (failed,) = shop.credits.json("deliveries", "--status", "failed")
    done = shop.credits.run("explain", "--email", "ada@example.com")
    assert done.stdout.splitlines()[-1] == (
        f"{failed['id']} failed: fix the cause, then `credits replay {failed['id']}`"
    )


def test_a_customer_without_deliveries_is_told_where_to_look(shop: Desk) -> None:
    done = shop.credits.run("explain", "--customer", some_id(99))
    assert (done.returncode, "`credits recover` finds lost webhooks" in done.stdout) == (0, True)


def test_a_customer_whom_polar_does_not_know_is_one_line(shop: Desk) -> None:
    for command in ("explain", "deliveries", "grants"):
        assert_one_line_error(
            shop.credits.run(command, "--email", "nobody@example.com"), "Polar has no customer with the email"
        )


def test_two_names_at_once_are_refused(shop: Desk) -> None:
    both = ["--customer", CUSTOMER, "--email", "ada@example.com"]
    assert_usage_error(shop.credits.run("explain", *both), "give only one of --customer")
    for command in ("deliveries", "grants"):
        assert_usage_error(
            shop.credits.run(command, *both[:2], "--order", some_id(1)), "give either an order or a customer"
        )


PACK = "Credit pack 100"


def test_products_are_shown_by_name_wherever_people_look_for_an_order(shop: Desk) -> None:
    _, shown = at_a_terminal(shop.credits, "deliveries", columns=80)
    assert f"order {some_id(1)} ({PACK})" in shown
    assert PACK in shop.credits.run("deliveries").stdout
    assert PACK in shop.credits.run("grants").stdout
    assert PACK in shop.credits.run("explain", "--customer", CUSTOMER).stdout
    assert f"{PACK} (" in shop.credits.run("explain", some_id(1)).stdout
    (paid, *_) = shop.credits.json("deliveries", "--order", some_id(1))
    assert PACK in shop.credits.run("show", paid["id"]).stdout


def test_a_product_is_not_named_once_the_body_is_erased(shop: Desk) -> None:
    shop.credits.run("forget", "--customer", CUSTOMER, "--yes")
    for command in ("deliveries", "grants", "explain"):
        assert PACK not in shop.credits.run(command, "--customer", CUSTOMER).stdout
