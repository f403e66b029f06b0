"""``CREDITS_RECONCILE_EVERY`` as an operator sets it: missing orders are granted automatically."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import Desk, assert_one_line_error
from tests.support.polar_orders import sell
from tests.support.processes import TEN, eventually
from workers.store import keys

pytestmark = pytest.mark.heavy  # whole services wait for a round of the reconciler

BEGIN = (datetime.now(UTC) - timedelta(days=365)).isoformat()
CREDIT_FROM = TEN.replace("version: 1\n", f"version: 1\ncredit_from: {BEGIN}\n")

DISPUTED = TEN.replace("grant:", "on_dispute: revoke, grant:")


def test_the_reconciler_grants_an_order_whose_webhook_never_arrived(desk: Desk) -> None:
    """By itself only one that was created after a worker first ran; an earlier one it names."""
    desk.rules(CREDIT_FROM)
    sell(desk.polar, 1)
    with desk.credits.with_settings(CREDITS_RECONCILE_EVERY="1s").running("work") as working:
        assert working.part("background")
        eventually(lambda: "`credits backfill` previews" in working.said)
        assert desk.polar.balance(CUSTOMER, "api_usage") == 0
        eventually(lambda: bool(desk.redis.exists(keys.BEGAN)))
        sell(desk.polar, 2, days_ago=0)
        eventually(lambda: desk.polar.balance(CUSTOMER, "api_usage") == 10)
        desk.credits.json("backfill", "--since", "7d", "--yes")
        assert desk.polar.balance(CUSTOMER, "api_usage") == 20


def test_with_credit_from_it_runs_unless_it_is_off(desk: Desk) -> None:
    desk.rules(CREDIT_FROM)
    sell(desk.polar, 1)
    with desk.credits.with_settings(CREDITS_RECONCILE_EVERY="off").running("work") as working:
        eventually(lambda: '"reconciling":"off"' in working.said)
    with desk.credits.running("work") as working:
        eventually(lambda: '"reconciling":"every 6 h"' in working.said)
        eventually(lambda: "`credits backfill` previews" in working.said)


def test_without_credit_from_nothing_starts_and_the_error_says_why(desk: Desk) -> None:
    every = desk.credits.with_settings(CREDITS_RECONCILE_EVERY="6h")
    for command in ("work", "up"):
        assert_one_line_error(every.run(command), "CREDITS_RECONCILE_EVERY", "credit_from")
    wrong = desk.credits.with_settings(CREDITS_RECONCILE_EVERY="often")
    assert_one_line_error(wrong.run("work"), "CREDITS_RECONCILE_EVERY", "not a duration")


def test_check_finds_the_missing_credit_from(desk: Desk) -> None:
    done = desk.credits.with_settings(CREDITS_RECONCILE_EVERY="6h").run("check", "--offline")
    assert done.returncode == 1
    assert "CREDITS_RECONCILE_EVERY needs credit_from" in done.stdout


def test_a_rule_that_needs_lost_disputes_needs_the_reconciler_and_no_credit_from(desk: Desk) -> None:
    desk.rules(DISPUTED)
    done = desk.credits.run("check", "--offline")
    assert done.returncode == 1
    assert "a rule has on_dispute: revoke, but CREDITS_RECONCILE_EVERY is off" in " ".join(
        done.stdout.split()
    )
    done = desk.credits.with_settings(CREDITS_RECONCILE_EVERY="6h").run("check", "--offline")
    assert "CREDITS_RECONCILE_EVERY" not in done.stdout


def test_the_reconciler_takes_back_after_a_lost_dispute(desk: Desk) -> None:
    desk.rules(DISPUTED)
    body = sell(desk.polar, 1)
    desk.grant(body)
    dispute = desk.polar.add_dispute(some_id(1), amount=500).id
    with desk.credits.with_settings(CREDITS_RECONCILE_EVERY="1s").running("work"):
        eventually(lambda: desk.polar.balance(CUSTOMER, "api_usage") == 5)
    (grant,) = (one for one in desk.credits.json("grants", "--order", some_id(1)) if one["credits"] < 0)
    assert (grant["key"], grant["credits"]) == (f"credits:dispute:{dispute}:api_usage", -5)
    (delivery,) = desk.credits.json("deliveries", "--type", "credits.dispute")
    assert (delivery["id"], delivery["status"]) == (f"dispute-{dispute}", "granted")
