"""``credits adjust`` in real processes: wrong rules for a while, mended, killed half-way, run again."""

import json

import pytest

from app.demo.polar.faults import Slow
from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error
from tests.support.processes import TEN, eventually
from tests.support.terminals import at_a_terminal
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore

pytestmark = pytest.mark.heavy  # starts whole services

FIVE = TEN.replace("api_usage: 10}", "api_usage: 5}, on_refund: revoke")
FIFTY = FIVE.replace("api_usage: 5", "api_usage: 50")
ADJUST = ("adjust", "--rule", "pack", "--since", "1h")


def balance(desk: Desk) -> float:
    return float(desk.polar.balance(CUSTOMER, "api_usage"))


@pytest.fixture(autouse=True)
def _sold(desk: Desk) -> None:
    """Sell three orders by a rule that gives 5 instead of 50, and refund a part of one."""
    desk.rules(FIVE)
    desk.grant(*(order_webhook(id=some_id(number)) for number in (1, 2, 3)))
    desk.grant(refund_webhook(300, id=some_id(3)))
    assert balance(desk) == 14
    desk.rules(FIFTY)


def test_it_shows_the_plan_adjusts_each_order_once_and_later_refunds_count_from_the_new_amount(
    desk: Desk,
) -> None:
    desk.credits.json("revoke", some_id(1))
    before = desk.memory()
    shown = desk.credits.with_settings(POLAR_ACCESS_TOKEN="").run(*ADJUST, "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "in all: 2 orders, +76 api_usage; 1 skipped: revoked by hand" in shown.stdout
    assert f"{some_id(3)}  5 to 50 api_usage  +31 api_usage" in shown.stdout
    assert desk.memory() == before
    asked = desk.credits.run(*ADJUST)
    assert asked.returncode == 2
    assert "this would adjust 2 orders, +76 api_usage; add --yes to confirm" in asked.stderr
    done = desk.credits.run(*ADJUST, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert balance(desk) == 50 + 35
    again = desk.credits.run(*ADJUST)
    assert again.stdout.splitlines()[-1] == (
        "in all: nothing to adjust; 1 skipped: revoked by hand; 2 unchanged"
    )
    desk.grant(refund_webhook(600, id=some_id(3)))
    assert balance(desk) == 50 + 20


def test_its_json_says_what_was_found_and_done(desk: Desk) -> None:
    report = desk.credits.json(*ADJUST, "--yes")
    assert (report["rule"], report["read"], report["unchanged"], report["skipped"]) == ("pack", 3, 0, [])
    assert [one["order_id"] for one in report["adjusting"]] == [some_id(number) for number in (1, 2, 3)]
    assert report["adjusting"][2]["grants"] == [
        {
            "key": f"credits:adjust:{some_id(3)}:1:api_usage",
            "meter": "api_usage",
            "credits": 31,
            "rules": ["pack"],
        }
    ]
    assert {(one["status"], one["reason"]) for one in report["outcomes"]} == {
        ("granted", "45 api_usage"),
        ("granted", "31 api_usage"),
    }
    assert (report["needs_review"], report["trouble"]) == ([], None)
    (grant, *_) = desk.credits.json("grants", "--order", some_id(1))
    assert (grant["credits"], grant["delivery"]) == (45, f"adjust-{some_id(1)}-1")
    shown = desk.credits.json("show", f"adjust-{some_id(1)}-1")
    assert (shown["type"], shown["reason"]) == ("manual.adjust", "45 api_usage")
    explained = desk.credits.json("explain", some_id(1))
    assert explained["outlook"] == "nothing: 50 api_usage already granted"


def test_after_kill_9_the_next_run_finishes_and_the_one_after_has_nothing_to_do(desk: Desk) -> None:
    store = DeliveryStore(desk.redis)
    with desk.credits.running(*ADJUST, "--yes") as killed:
        desk.polar.faults.append(Slow(3600))
        eventually(lambda: not desk.polar.faults and store.count_by_status()[Status.WAITING] == 3)
        killed.process.kill()
        killed.process.wait()
    report = desk.credits.json(*ADJUST, "--yes")
    assert (len(report["begun"]), report["adjusting"]) == (3, [])
    assert balance(desk) == 50 + 50 + 35
    assert desk.credits.json(*ADJUST, "--yes")["outcomes"] == []
    assert sum(":adjust:" in one["external_id"] for one in desk.polar.events) == 3


@pytest.mark.heavy
def test_on_a_terminal_it_asks(desk: Desk) -> None:
    code, shown = at_a_terminal(desk.credits, *ADJUST, answer="n")
    assert (code, balance(desk)) == (0, 14)
    assert "Adjust 3 orders, +121 api_usage?" in shown


def test_after_a_lost_redis_it_adjusts_nothing_until_the_ledger_is_rebuilt(desk: Desk) -> None:
    desk.credits.json(*ADJUST, "--yes")
    desk.redis.flushall()
    desk.rules(FIFTY.replace("50", "60"))
    assert_one_line_error(desk.credits.run(*ADJUST, "--yes"), "credits rebuild")
    desk.credits.json("rebuild", "--yes")
    for number in (1, 2, 3):
        desk.polar.add_order(**json.loads(order_webhook(id=some_id(number)))["data"])
    skipped = {one["reason"].partition(":")[0] for one in desk.credits.json(*ADJUST, "--dry-run")["skipped"]}
    assert skipped == {
        "its webhook is no longer stored",
        "how much of it was refunded or disputed was lost with Redis",
    }
    refunded = json.loads(refund_webhook(300, id=some_id(3)))["data"]
    desk.polar.add_order(**refunded)
    report = desk.credits.json(*ADJUST, "--assume-current", "--yes")
    keys = [one["grants"][0]["key"] for one in report["adjusting"]]
    assert keys == [f"credits:adjust:{some_id(number)}:2:api_usage" for number in (1, 2, 3)]
    assert balance(desk) == 60 + 60 + 42


@pytest.mark.parametrize(
    ("rule", "words"),
    [("pak", "unknown rule 'pak'; did you mean 'pack'?"), ("first", "once_per: customer")],
)
def test_a_rule_that_cannot_be_adjusted_is_a_usage_error(desk: Desk, rule: str, words: str) -> None:
    desk.rules(FIFTY + "  - {name: first, once_per: customer, grant: {api_usage: 1}}\n")
    assert_usage_error(desk.credits.run("adjust", "--rule", rule, "--since", "1h"), words)
