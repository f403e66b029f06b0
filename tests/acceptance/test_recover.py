"""``credits recover`` as a user types it: it turns undelivered webhooks into normal deliveries."""

import json

import pytest

from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.polar_orders import sell
from tests.support.processes import TEN
from tests.support.recordings import payload
from workers.store.losses import mark_loss

pytestmark = pytest.mark.heavy  # starts a command for each test

SINCE = ("recover", "--since", "24h")
WELCOME = TEN + "  - {name: welcome, triggers: [customer.created], grant: {api_usage: 5}}\n"


def test_an_undelivered_webhook_is_shown_first_and_then_runs_under_its_own_id(desk: Desk) -> None:
    desk.rules(WELCOME)
    created = payload("customer_created")
    desk.polar.add_delivery(some_id(1), sell(desk.polar, 1))
    desk.polar.add_delivery(some_id(1), sell(desk.polar, 1))  # its second attempt
    desk.polar.add_delivery(some_id(2), created)
    desk.polar.add_delivery(some_id(3), payload("customer_updated"))
    desk.polar.add_customer(json.loads(created)["data"]["id"])
    before = desk.memory()
    report = desk.credits.json(*SINCE, "--dry-run")
    assert {one["id"]: one["type"] for one in report["lost"]} == {
        some_id(1): "order.paid",
        some_id(2): "customer.created",
    }
    assert (desk.memory(), desk.polar.events) == (before, [])
    done = desk.credits.run(*SINCE)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert "in all: 2 grants, 15 api_usage\n" in done.stdout
    done = desk.credits.run(*SINCE, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.status_of(some_id(1)) == ("granted", "10 api_usage")
    assert desk.status_of(some_id(2)) == ("granted", "5 api_usage")
    again = desk.credits.run(*SINCE, "--yes")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(desk.polar.events) == 2


def test_a_delivered_webhook_is_left_alone_and_a_late_one_is_a_duplicate(desk: Desk) -> None:
    (known,) = desk.grant(sell(desk.polar, 1))
    desk.polar.add_delivery(known, sell(desk.polar, 1))
    assert desk.credits.json(*SINCE, "--yes")["lost"] == []
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10


def test_an_unreadable_event_fails_and_a_row_without_an_event_is_named(desk: Desk) -> None:
    desk.polar.add_delivery(some_id(1), b'{"type": "order.paid", "data": {}}')
    slack = desk.polar.add_delivery(some_id(2), b'{"type": "order.paid"}').webhook_event
    desk.polar.deliveries[-1] = desk.polar.deliveries[-1].model_copy(
        update={"webhook_event": slack.model_copy(update={"payload": '{"blocks": []}'})}
    )
    done = desk.credits.run(*SINCE, "--yes")
    assert done.returncode == 1
    assert "its body is not an event" in done.stdout
    assert desk.status_of(some_id(1))[0] == "failed"
    report = desk.credits.json(*SINCE, "--yes")
    assert report["lost"] == []
    assert [one["id"] for one in report["unusable"]] == [some_id(2)]


def test_attempts_that_polar_counts_and_does_not_list_fail_the_command(desk: Desk) -> None:
    first = desk.polar.add_delivery(some_id(1), sell(desk.polar, 1))
    desk.polar.deliveries.append(first)  # the list has one of them twice, and another not at all
    done = desk.credits.run(*SINCE, "--dry-run")
    assert (done.returncode, "Polar counts 1 attempt more than it lists" in done.stderr) == (1, True)


def test_what_polar_delivered_and_redis_has_lost_is_fetched_on_demand(desk: Desk) -> None:
    (known,) = desk.grant(sell(desk.polar, 1))
    desk.polar.add_delivery(known, sell(desk.polar, 1), succeeded=True)
    desk.polar.add_delivery(some_id(2), sell(desk.polar, 2), succeeded=True)
    assert desk.credits.json(*SINCE, "--yes")["lost"] == []
    report = desk.credits.json(*SINCE, "--delivered", "--yes")
    assert [one["id"] for one in report["lost"]] == [some_id(2)]
    assert desk.status_of(some_id(2)) == ("granted", "10 api_usage")
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20
    assert desk.credits.json(*SINCE, "--delivered", "--yes")["lost"] == []


def test_delivered_webhooks_are_fetched_after_a_rebuild_and_within_the_retention(desk: Desk) -> None:
    mark_loss(desk.redis)
    fetch = ("recover", "--delivered", "--since")
    assert_one_line_error(desk.credits.run(*fetch, "24h"), "run credits rebuild first")
    desk.credits.run("rebuild", "--yes")
    assert desk.credits.run(*fetch, "24h").returncode == 0
    assert_one_line_error(desk.credits.run(*fetch, "31d"), "CREDITS_RETAIN")


def test_each_obstacle_is_a_one_line_error(desk: Desk) -> None:
    desk.polar.scopes -= {"webhooks:read"}
    assert_one_line_error(desk.credits.run(*SINCE, "--yes"), "403", "the scope webhooks:read")
    assert_usage_error(desk.credits.run("recover"), "Missing option '--since'")
