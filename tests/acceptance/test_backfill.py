"""``credits backfill`` as a user types it: it grants orders whose webhook never arrived, and only those."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.demo.polar import Slow
from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.polar_orders import sell
from tests.support.processes import TEN, Credits, eventually, post
from tests.support.real_stores import claim_of
from tests.support.terminals import at_a_terminal
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.operations.backfill.scanned_orders import delivery_id_of
from workers.store.deliveries import DeliveryStore

SINCE = ("backfill", "--since", "7d")
SEATS = TEN.replace("api_usage: 10", "api_usage: 10 * seats")
RENEWAL = "order_paid_subscription_cycle_seats_order_seats_null"


def lost(desk: Desk, number: int, like: str = "order_paid_purchase", **data: Any) -> bytes:
    """Add a paid order to Polar without delivering its webhook; return the webhook's body."""
    return sell(desk.polar, number, like, **data)


def balance(desk: Desk) -> float:
    return float(desk.polar.balance(CUSTOMER, "api_usage"))


def test_missing_orders_are_shown_first_then_granted_as_normal_deliveries(desk: Desk) -> None:
    desk.grant(lost(desk, 1))
    lost(desk, 2)
    before = desk.memory()
    for args in (["--dry-run"], []):
        done = desk.credits.run(*SINCE, *args)
        assert done.returncode == (0 if args else 2)  # a script must pass --yes
        assert some_id(2) in done.stdout
        assert "grant 10 api_usage" in done.stdout
        assert some_id(1) not in done.stdout
    assert desk.memory() == before
    done = desk.credits.run(*SINCE, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"backfill-{some_id(2)}  granted" in done.stdout
    shown = desk.credits.json("show", delivery_id_of(some_id(2)))
    assert (shown["type"], shown["status"], shown["reason"]) == ("order.paid", "granted", "10 api_usage")
    assert desk.credits.run("replay", delivery_id_of(some_id(2)), "--yes").returncode == 0
    assert balance(desk) == 20


@pytest.mark.heavy
def test_on_a_terminal_it_asks_and_shows_progress(desk: Desk) -> None:
    lost(desk, 1)
    code, shown = at_a_terminal(desk.credits, *SINCE, answer="n")
    assert (code, balance(desk)) == (0, 0)
    assert "Grant 1 missing order: 1 grant, 10 api_usage?" in shown
    assert "reading orders" in shown
    code, shown = at_a_terminal(desk.credits, *SINCE, answer="y")
    assert (code, balance(desk)) == (0, 10)
    assert "granting" in shown


def test_after_a_lost_redis_it_grants_nothing_until_the_ledger_is_rebuilt(desk: Desk) -> None:
    desk.grant(*(lost(desk, n) for n in (1, 2, 3)))
    lost(desk, 4)
    desk.redis.flushall()
    for args in (["--yes"], ["--dry-run"]):
        refused = desk.credits.run(*SINCE, *args)
        assert_one_line_error(refused, "the ledger lacks our first credits", "credits rebuild")
    desk.credits.json("rebuild", "--yes")
    report = desk.credits.json(*SINCE, "--yes")
    assert [one["order_id"] for one in report["missing"]] == [some_id(4)]
    assert any("does not know any more" in warning for warning in report["warnings"])
    assert (balance(desk), len(desk.polar.events)) == (40, 4)
    assert desk.credits.json(*SINCE, "--yes")["granted"] == 4


def test_a_part_that_may_never_have_been_sent_is_shown_but_not_granted(desk: Desk) -> None:
    """Polar took the grant of one meter, and Redis was lost before the other was sent."""
    desk.grant(lost(desk, 1))
    desk.redis.flushall()
    desk.credits.json("rebuild", "--yes")
    desk.rules(TEN.replace("api_usage: {}", "api_usage: {}, images: {}").replace("10}", "10, images: 5}"))
    why = "Polar has 10 api_usage; today's rules also give 5 images"
    assert why in desk.credits.run(*SINCE, "--dry-run").stdout
    report = desk.credits.json(*SINCE, "--yes")
    assert (report["warnings"], report["outcomes"], balance(desk)) == ([f"{some_id(1)}: {why}"], [], 10)
    assert desk.credits.run(*SINCE, "--yes").stdout == ""  # in cron this counts as nothing to do


def test_with_nothing_to_do_it_prints_nothing_in_cron(desk: Desk) -> None:
    desk.grant(lost(desk, 1))
    lost(desk, 2, status="refunded", refunded_amount=1000)
    done = desk.credits.run(*SINCE, "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_has_everything_that_was_found(desk: Desk) -> None:
    desk.grant(lost(desk, 1))
    desk.receive(lost(desk, 2))
    lost(desk, 3)
    lost(desk, 4, status="refunded", refunded_amount=1000)
    report = desk.credits.json(*SINCE, "--dry-run")
    assert (report["read"], report["granted"], report["waiting"], report["claimed"]) == (4, 1, 1, 0)
    assert report["skipped"] == [{"reason": "now refunded", "orders": 1}]
    (missing,) = report["missing"]
    assert (missing["order_id"], missing["customer_id"]) == (some_id(3), CUSTOMER)
    key = f"{order_subject(some_id(3))}:api_usage"
    assert missing["grants"] == [{"key": key, "meter": "api_usage", "credits": 10, "rules": ["pack"]}]
    assert "credit_from" in report["warnings"][0]
    assert report["outcomes"] == []


def test_amounts_that_depend_on_the_current_subscription_need_assume_current(desk: Desk) -> None:
    desk.rules(SEATS)
    lost(desk, 1, RENEWAL)
    done = desk.credits.run(*SINCE, "--yes")
    assert (done.returncode, "--assume-current" in done.stdout, balance(desk)) == (0, True, 0)
    report = desk.credits.json(*SINCE, "--assume-current", "--yes")
    assert (report["needs_review"], balance(desk)) == ([], 50)


def test_an_order_whose_amount_cannot_be_computed_is_named_and_fails_the_command(desk: Desk) -> None:
    desk.rules(TEN.replace("api_usage: 10", "api_usage: int(order.metadata.credits)"))
    lost(desk, 1)
    done = desk.credits.run(*SINCE, "--yes")
    assert done.returncode == 1
    assert some_id(1) in done.stdout
    assert "order.metadata.credits" in done.stdout


def test_after_a_kill_the_next_run_continues(desk: Desk) -> None:
    store = DeliveryStore(desk.redis)
    for number in (1, 2, 3):
        lost(desk, number)
    with desk.credits.running(*SINCE, "--yes") as killed:
        desk.polar.faults.append(Slow(3600))  # delays only the ingest, not the lists
        eventually(lambda: not desk.polar.faults and store.count_by_status()[Status.WAITING] == 3)
        killed.process.kill()
        killed.process.wait()
    report = desk.credits.json(*SINCE, "--yes")
    assert (len(report["begun"]), report["missing"]) == (3, [])
    assert {one["status"] for one in report["outcomes"]} == {"granted"}
    assert (balance(desk), store.count_by_status()[Status.WAITING]) == (30, 0)


@pytest.mark.heavy
def test_live_webhooks_and_a_backfill_of_the_same_orders_credit_each_once(desk: Desk) -> None:
    bodies = [lost(desk, number) for number in range(1, 31)]
    with desk.credits.running("work"), desk.credits.running(*SINCE, "--yes") as backfilling:
        with httpx.Client(base_url=desk.url) as client:
            ids = [post(client, body) for body in bodies]
        assert backfilling.process.wait(60) == 0, backfilling.said
        store = DeliveryStore(desk.redis)
        eventually(lambda: all(one.status is not Status.WAITING for one in store.get(ids)))
    assert (balance(desk), len(desk.polar.events)) == (300, 30)
    with desk.credits.stores() as held:
        for number in range(1, 31):
            assert not claim_of(held.ledger.find(order_subject(some_id(number)))).unsettled


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Missing option '--since'"),
        (("--since", "yesterday"), "is not a duration"),
        (("--since", "2026-11-01T00:00:00"), "has no time zone"),
        (("--since", "7d", "--until", "8d"), "--until must be later than --since"),
    ],
)
def test_an_invalid_time_is_a_usage_error(alone: Credits, args: tuple[str, ...], words: str) -> None:
    assert_usage_error(alone.run("backfill", *args), words)


def test_times_can_be_durations_or_timestamps(desk: Desk) -> None:
    lost(desk, 1, days_ago=1)
    lost(desk, 2, days_ago=3)
    week, two_days = ((datetime.now(UTC) - timedelta(days=days)).isoformat() for days in (7, 2))
    report = desk.credits.json("backfill", "--since", week, "--until", two_days, "--dry-run")
    assert [one["order_id"] for one in report["missing"]] == [some_id(2)]


def test_each_obstacle_is_a_one_line_error(desk: Desk) -> None:
    desk.polar.scopes -= {"orders:read"}
    assert_one_line_error(desk.credits.run(*SINCE, "--yes"), "403", "the scope orders:read")
    assert_one_line_error(desk.credits.with_settings(POLAR_ACCESS_TOKEN="").run(*SINCE), "POLAR_ACCESS_TOKEN")
    desk.rules("version: 1\nrules: [}\n")
    assert_one_line_error(desk.credits.run(*SINCE, "--yes"), "rules.yaml:2")


def test_orders_that_polar_counts_and_does_not_list_fail_the_command(desk: Desk) -> None:
    lost(desk, 1)
    desk.polar.orders["again"] = desk.polar.orders[some_id(1)]  # listed twice, and another not at all
    done = desk.credits.run(*SINCE, "--yes", "--json")
    assert (done.returncode, balance(desk)) == (1, 10)
    assert "Polar counts 1 order more than it lists (from 20" in done.stderr
    report = json.loads(done.stdout)
    assert (report["not_listed"], len(report["not_listed_around"])) == (1, 2)


def test_it_says_when_polar_has_no_orders(desk: Desk) -> None:
    assert desk.credits.run("backfill", "--since", "7d").stdout == "Polar has no paid orders from that time\n"
