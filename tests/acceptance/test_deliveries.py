"""The commands that show deliveries, as a user types them: deliveries, show and status."""

import json
import re
import time

import httpx
import pytest

from app.receiver.signature import sign
from tests.support.builders import CUSTOMER, PRODUCT, some_id
from tests.support.cli_session import STRANGER, Desk, assert_one_line_error, purchase, strangers_purchase
from tests.support.processes import SECRET, Credits, eventually
from tests.support.recordings import payload
from tests.support.terminals import at_a_terminal

pytestmark = pytest.mark.heavy  # starts a command for each test


def test_deliveries_are_listed_newest_first_and_can_be_filtered(desk: Desk) -> None:
    granted, failed, customer = desk.grant(purchase(1), strangers_purchase(), payload("customer_created"))
    (waiting,) = desk.receive(purchase(2))
    assert desk.listed() == [waiting, customer, failed, granted]
    assert desk.listed("--limit", "2") == [waiting, customer]
    assert desk.listed("--status", "granted") == [granted]
    assert desk.listed("--status", "failed", "--status", "waiting") == [waiting, failed]
    assert desk.listed("--type", "customer.created") == [customer]
    assert desk.listed("--since", "1h") == [waiting, customer, failed, granted]
    assert desk.listed("--since", "2026-01-01T00:00:00Z") == [waiting, customer, failed, granted]
    assert desk.listed("--since", "2100-01-01T00:00:00Z") == []


def test_since_leaves_out_earlier_deliveries(desk: Desk) -> None:
    (old,) = desk.receive(purchase(1))

    def is_older_than_a_second() -> bool:
        return desk.listed("--since", "1s") == []

    eventually(is_older_than_a_second)
    assert desk.listed() == [old]


def test_a_delivery_has_every_promised_json_field(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    (one,) = desk.credits.json("deliveries")
    assert one.pop("received_at").endswith("Z")
    assert one.pop("settled_at").endswith("Z")
    assert "Customer not found." in one.pop("reason")
    assert one == {
        "id": failed,
        "type": "order.paid",
        "status": "failed",
        "attempts": 1,
        "order_id": some_id(9),
        "customer_id": STRANGER,
    }


def test_the_table_shows_the_outcome_and_reason_of_each_delivery(desk: Desk) -> None:
    granted, failed = desk.grant(purchase(1), strangers_purchase())
    lines = desk.credits.run("deliveries").stdout.splitlines()
    (line,) = [line for line in lines if granted in line]
    assert line.split()[-2:] == ["10", "api_usage"]
    (line,) = [line for line in lines if failed in line]
    assert "failed" in line
    assert "Customer not found." in line


def test_it_says_when_there_are_no_deliveries(desk: Desk) -> None:
    assert desk.credits.run("deliveries").stdout == "no deliveries\n"
    assert desk.credits.json("deliveries") == []


def test_show_has_a_delivery_with_its_grants_and_body(desk: Desk) -> None:
    (granted,) = desk.grant(payload("order_paid_purchase"))
    one = desk.credits.json("show", granted)
    order_id = json.loads(payload("order_paid_purchase"))["data"]["id"]
    assert one["body"].encode() == payload("order_paid_purchase")
    (grant,) = one["grants"]
    assert grant.pop("granted_at").endswith("Z")
    assert grant.pop("claimed_at").endswith("Z")
    assert grant == {
        "key": f"credits:order:{order_id}:api_usage",
        "customer_id": CUSTOMER,
        "meter": "api_usage",
        "credits": 10,
        "status": "granted",
        "order_id": order_id,
        "rules": ["pack"],
        "delivery": granted,
    }


def test_show_prints_the_same_as_text(desk: Desk) -> None:
    (granted,) = desk.grant(purchase(1))
    shown = desk.credits.run("show", granted).stdout
    assert f"10 api_usage by pack, key credits:order:{some_id(1)}:api_usage" in shown
    assert PRODUCT not in shown
    printed = desk.credits.run("show", granted, "--body").stdout
    assert json.loads(printed[printed.index("{") :])["data"]["product_id"] == PRODUCT


def test_show_tells_of_each_attempt_and_each_replay(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    desk.credits.run("replay", failed, "--yes")
    one = desk.credits.json("show", failed)
    assert [each["attempt"] for each in one["leases"]] == [1, 2]
    assert [each["by"] for each in one["replays"]] == ["credits replay"]
    lines = [line.split(None, 1) for line in desk.credits.run("show", failed).stdout.splitlines()]
    told = [(row[0], row[1].partition(", ")[2]) for row in lines if row[0] in {"leased", "replayed"}]
    assert told == [("leased", "attempt 1"), ("replayed", "by credits replay"), ("leased", "attempt 2")]


def test_an_unknown_delivery_is_a_one_line_error(desk: Desk) -> None:
    for command in ("show", "replay"):
        assert_one_line_error(desk.credits.run(command, "gone"), "no delivery gone", "credits deliveries")


def test_narrow_terminals_break_no_id_and_redirected_lines_have_no_trailing_blanks(desk: Desk) -> None:
    first, second = desk.grant(purchase(1), purchase(1))
    code, shown = at_a_terminal(desk.credits, "deliveries", columns=80)
    lines = re.sub("\x1b\\[[0-9]*m", "", shown).splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 80
    assert any(line.endswith(f"  {second}  order.paid  skipped") for line in lines)
    assert f"    already granted: claimed by delivery {first} at" in lines
    assert (
        lines.count(f"    order {some_id(1)} (Credit pack 100)")
        == lines.count(f"    customer {CUSTOMER}")
        == 2
    )
    piped = desk.credits.run("deliveries").stdout.splitlines()
    assert len(piped) == 3
    assert piped[0].split() == [
        "received",
        "delivery",
        "type",
        "status",
        "order",
        "customer",
        "product",
        "reason",
    ]
    assert [line.rstrip() for line in piped] == piped


def test_an_id_may_be_shortened_to_what_is_unique(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    assert desk.credits.json("show", failed[:8])["id"] == failed
    assert desk.credits.json("explain", failed[:8])["deliveries"][0]["id"] == failed
    assert [one["id"] for one in desk.credits.json("dismiss", failed[:8], failed)] == [failed]
    (one,) = desk.credits.json("replay", failed[:8], "--dry-run")
    assert one["id"] == failed


def test_a_start_of_several_ids_lists_what_it_may_mean_and_a_short_one_means_nothing(desk: Desk) -> None:
    with httpx.Client(base_url=desk.url) as client:
        for id_ in ("msg-a1", "msg-a2"):
            headers = sign(SECRET, id_, int(time.time()), purchase(1))
            assert client.post("/webhooks/polar", content=purchase(1), headers=headers).status_code == 202
    for command in ("show", "explain", "dismiss", "replay"):
        done = desk.credits.run(command, "msg-a")
        assert_one_line_error(done, "msg-a is the start of 2 deliveries", "msg-a1 (order.paid, ", "msg-a2")
    assert_one_line_error(desk.credits.run("show", "msg"), "no delivery msg")


def test_a_failed_delivery_shows_the_next_step(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    shown = desk.credits.run("show", failed).stdout
    assert f"fix the cause, then `credits replay {failed}`; or `credits dismiss {failed}`" in shown
    assert "grant not at Polar" in shown


def test_an_empty_embedded_store_is_named(alone: Credits) -> None:
    store = f"the store is embedded, in {alone.folder / 'data'}"
    done = alone.run("explain", "gone")
    assert_one_line_error(done, "nor the id of a delivery or an order", store)
    assert alone.json("status")["store"] == f"embedded, in {alone.folder / 'data'}"


def test_a_rejected_token_is_reported_at_once(desk: Desk) -> None:
    desk.receive(purchase(1))
    desk.polar.token = "polar_oat_of-another"
    desk.credits.run("work", "--burst")
    polar = desk.credits.json("status")["checks"]["polar"]
    assert not polar["ok"]
    for words in ("has accepted nothing for", "Polar answered 401", "next request", "`credits check` says"):
        assert words in polar["detail"]


def test_status_shows_counts_and_checks(desk: Desk) -> None:
    desk.grant(purchase(1), strangers_purchase())
    now = desk.credits.json("status")
    assert now["deliveries"] == {"waiting": 0, "granted": 1, "skipped": 0, "failed": 1}
    assert (now["well"], now["grants"], now["checks"]["redis"]["ok"]) == (False, 1, True)
    assert now["checks"]["failed"] == {"ok": False, "detail": "1 failed"}
    assert "1 granted" in desk.credits.run("status").stdout


def test_strict_status_fails_without_workers_and_with_failures(desk: Desk) -> None:
    def strict() -> int:
        return desk.credits.run("status", "--strict").returncode

    assert strict() == 1
    with desk.credits.running("work"):
        eventually(lambda: strict() == 0)
        (failed,) = desk.receive(strangers_purchase())
        eventually(lambda: desk.listed("--status", "failed") == [failed])
        assert strict() == 1
