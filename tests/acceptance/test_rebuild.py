"""``credits rebuild`` as a user types it, after a lost Redis: it restores the ledger."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.chaos.crash_points import before
from tests.support.builders import CUSTOMER, ORDER, refund_webhook, some_id
from tests.support.cli_session import TWENTY, Desk, assert_one_line_error, purchase
from tests.support.crashing_cli import DIED, Fate
from tests.support.doomed_cli import doomed
from tests.support.ledgers import ledger_in
from tests.support.polar_orders import sell
from tests.support.polar_standin import INGEST, ask
from tests.support.processes import TEN, TOKEN, eventually
from tests.support.terminals import at_a_terminal
from workers.core.delivery import Status
from workers.core.take_back_delivery import take_back_delivery
from workers.operations.rebuild.run import Rebuilder
from workers.store.deliveries import DeliveryStore
from workers.store.restorations import RestorationStore

pytestmark = pytest.mark.heavy  # starts whole services

REVOCABLE = TEN.replace("api_usage: 10}", "api_usage: 10}, on_refund: revoke")
DOING = ("rebuild", "--yes")
BY_HAND = ("--customer", CUSTOMER, "--meter", "api_usage", "--units", "7", "--key", "beta")


def read_grants(desk: Desk, *args: str) -> list[dict[str, Any]]:
    """Return what ``credits grants`` lists, without the fields that Polar does not have."""
    left_out = {"delivery", "claimed_at", "granted_at"}
    listed = desk.credits.json("grants", *args)
    return [{name: one for name, one in row.items() if name not in left_out} for row in listed]


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """Return a desk with a partly refunded order, a revoked order and a manual grant."""
    desk.rules(REVOCABLE)
    desk.grant(*(sell(desk.polar, number) for number in (1, 2)))
    desk.grant(refund_webhook(300, id=some_id(1)))
    desk.credits.json("grant", *BY_HAND, "--yes")
    desk.credits.json("revoke", some_id(2), "--yes")
    return desk


def test_a_lost_ledger_is_previewed_then_restored_and_backfill_finds_the_missing_order(
    busy: Desk,
) -> None:
    ledger, listed, events = ledger_in(busy.redis), read_grants(busy), list(busy.polar.events)
    busy.redis.flushall()
    sell(busy.polar, 3)  # its webhook was lost while Redis was away
    for args in (["--dry-run"], []):
        done = busy.credits.run("rebuild", *args)
        assert done.returncode == (0 if args else 2)  # a script must pass --yes
        assert ["api_usage", "5", "27", "13"] in [line.split() for line in done.stdout.splitlines()]
        assert ledger_in(busy.redis) == {}
    done = busy.credits.run(*DOING)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("5 grants restored\n")
    assert ledger_in(busy.redis) == ledger
    assert read_grants(busy) == listed
    assert sorted(map(str, read_grants(busy, "--customer", CUSTOMER))) == sorted(map(str, listed))
    filled = busy.credits.json("backfill", "--since", "7d", "--yes")
    assert [one["order_id"] for one in filled["missing"]] == [some_id(3)]
    assert filled["granted"] == 2
    assert [one["external_id"] for one in busy.polar.events[len(events) :]] == [
        f"credits:order:{some_id(3)}:api_usage"
    ]


def test_after_a_rebuild_refunds_continue_and_manual_grants_are_not_repeated(busy: Desk) -> None:
    busy.redis.flushall()
    busy.credits.json(*DOING)
    busy.grant(refund_webhook(1000, id=some_id(1)))
    (taken,) = [one for one in busy.polar.events if ":1000:" in one["external_id"]]
    assert taken["metadata"]["units"] == 7  # three of the ten were taken back before
    assert busy.credits.json("grant", *BY_HAND, "--yes")["already_granted"] is True
    assert "another amount" in busy.credits.run("grant", *BY_HAND[:5], "8", *BY_HAND[6:], "--yes").stderr
    assert "nothing" in busy.credits.run("revoke", some_id(2)).stdout
    assert busy.polar.balance(CUSTOMER, "api_usage") == 7


def test_over_an_intact_ledger_it_changes_nothing_and_finds_nothing_missing(busy: Desk) -> None:
    before_ = busy.memory()
    found = busy.credits.json(*DOING)
    assert (found["read"], found["matching"], found["missing"], found["restored"]) == (5, 5, [], 0)
    assert busy.credits.run("rebuild").returncode == 0  # there is nothing to confirm
    assert busy.memory() == before_


def test_an_old_order_that_arrives_again_before_the_rebuild_is_credited_once(
    desk: Desk,
) -> None:
    desk.grant(purchase(1), purchase(2))
    desk.redis.flushall()
    desk.rules(TWENTY)
    desk.grant(purchase(1))  # claimed again by today's rules; Polar already has an event with this key
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20
    key = f"credits:order:{some_id(1)}:api_usage"
    shown = desk.credits.run("rebuild", "--dry-run")
    assert (shown.returncode, key in shown.stdout, "take Polar's amount" in shown.stdout) == (
        0,
        True,
        True,
    )
    asked = desk.credits.run("rebuild")
    assert (
        "this would restore 1 grant: 10 api_usage and replace 1 amount in the ledger with Polar's"
        in asked.stderr
    )
    found = desk.credits.json(*DOING)
    assert found["differing"] == [{"key": key, "polar": 10, "ledger": 20, "kept_because": None}]
    assert [one["order_id"] for one in found["missing"]] == [some_id(2)]
    assert {one["credits"] for one in read_grants(desk)} == {10}
    assert desk.credits.json(*DOING)["differing"] == []
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20


def test_a_remaining_difference_fails_the_command_and_says_what_to_do(desk: Desk) -> None:
    desk.grant(purchase(1))
    sent = {name: one for name, one in desk.polar.events[0].items() if name != "external_id"}
    desk.redis.flushall()
    desk.rules(TWENTY)
    desk.grant(purchase(1))
    assert ask(desk.polar, "POST", INGEST, token=TOKEN, json={"events": [sent]}).status_code == 200
    assert desk.credits.run("rebuild", "--dry-run").returncode == 0
    done = desk.credits.run(*DOING)
    assert (done.returncode, "another event has the same key" in done.stdout) == (1, True)
    assert "fix this by hand (credits grant, credits revoke)" in done.stderr
    assert {one["credits"] for one in read_grants(desk)} == {20}


def test_an_excessive_take_back_is_reported_with_order_meter_and_amount(desk: Desk) -> None:
    """Workers ran before the rebuild, so a refund took back credits that were already revoked."""
    desk.rules(REVOCABLE)
    desk.grant(purchase(1))
    desk.credits.json("revoke", some_id(1), "--yes")
    desk.redis.flushall()
    desk.grant(purchase(1))
    desk.confirm()
    desk.grant(refund_webhook(300, id=some_id(1)))
    words = f"order {some_id(1)}: 3 api_usage more was taken back at Polar than was granted"
    for args in (["--dry-run"], ["--yes"], ["--json", "--yes"]):
        done = desk.credits.run("rebuild", *args)
        assert (done.returncode, words in done.stderr) == (0, True)


def test_a_refund_that_arrives_before_the_rebuild_is_taken_back_by_the_workers(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    desk.grant(purchase(1))
    desk.redis.flushall()
    desk.grant(refund_webhook(500, id=some_id(1)))
    for args in (DOING, ("rebuild", "--dry-run"), DOING):
        assert "the workers do so after a complete rebuild" in desk.credits.run(*args).stderr
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10
    desk.grant()
    assert desk.status_of(take_back_delivery(some_id(1))) == ("granted", "took back 5 api_usage")
    assert desk.polar.balance(CUSTOMER, "api_usage") == 5
    assert desk.credits.json(*DOING)["refund_pending"] == []


def test_a_forged_event_is_listed_and_ignored(desk: Desk) -> None:
    desk.grant(purchase(1))
    (real,) = desk.polar.events
    forged = json.loads(json.dumps(real).replace(some_id(1), ORDER))
    forged["metadata"]["units"] = "-10"
    assert ask(desk.polar, "POST", INGEST, token=TOKEN, json={"events": [forged]}).status_code == 200
    desk.redis.flushall()
    found = desk.credits.json(*DOING)
    (odd,) = found["not_ours"]
    assert (odd["key"], odd["reason"]) == (forged["metadata"]["key"], "it has no number of credits")
    assert found["restored"] == 1
    assert "ignored: not sent by this service" in desk.credits.run("rebuild", "--dry-run").stdout


@pytest.mark.parametrize(
    "where",
    [Rebuilder.restore, RestorationStore.extend_audit],
)
@pytest.mark.heavy
def test_after_a_kill_the_next_run_continues(busy: Desk, where: Callable[..., object]) -> None:
    ledger, listed = ledger_in(busy.redis), read_grants(busy)
    busy.redis.flushall()
    with doomed(busy.credits, Fate.DIE, before(where).boundary, *DOING) as dying:
        assert dying.process.wait(60) == DIED, dying.said
    busy.credits.json(*DOING)
    assert ledger_in(busy.redis) == ledger
    assert read_grants(busy) == listed


@pytest.mark.heavy
def test_with_workers_running_and_old_orders_arriving_again_each_is_credited_once(desk: Desk) -> None:
    bodies = [purchase(number) for number in range(1, 61)]
    desk.grant(*bodies)
    desk.redis.flushall()
    store = DeliveryStore(desk.redis)
    with desk.credits.running("work"), desk.credits.running(*DOING) as rebuilding:
        ids = desk.receive(*bodies[:30])
        assert rebuilding.process.wait(60) in {0, 1}, rebuilding.said  # 1: some were claimed meanwhile
        eventually(lambda: all(one.status is not Status.WAITING for one in store.get(ids)))
    found = desk.credits.json(*DOING)
    assert (found["missing"], found["differing"], found["matching"], found["claimed"]) == ([], [], 60, 0)
    assert len(read_grants(desk, "--limit", "100")) == 60
    assert desk.polar.balance(CUSTOMER, "api_usage") == 600
    assert len(desk.polar.events) == 60


@pytest.mark.heavy
def test_on_a_terminal_it_asks_and_shows_progress(desk: Desk) -> None:
    desk.grant(purchase(1))
    desk.redis.flushall()
    code, shown = at_a_terminal(desk.credits, "rebuild", answer="n")
    assert (code, read_grants(desk)) == (0, [])
    assert "Restore 1 grant: 10 api_usage?" in shown
    assert "reading events" in shown
    code, shown = at_a_terminal(desk.credits, "rebuild", answer="y")
    assert (code, len(read_grants(desk))) == (0, 1)


def test_each_obstacle_is_a_one_line_error(desk: Desk) -> None:
    desk.polar.scopes -= {"events:read", "events:write"}
    assert_one_line_error(desk.credits.run(*DOING), "403", "the scope events:read")
    assert_one_line_error(desk.credits.with_settings(POLAR_ACCESS_TOKEN="").run(*DOING), "POLAR_ACCESS_TOKEN")
    desk.rules("version: 1\nrules: [}\n")
    assert_one_line_error(desk.credits.run(*DOING), "rules.yaml:2")


def test_since_restores_what_a_backup_lacks_and_refuses_an_empty_ledger(desk: Desk) -> None:
    desk.grant(purchase(1))
    backup = desk.memory()
    desk.polar.stored[0] = replace(desk.polar.stored[0], timestamp=datetime.now(UTC) - timedelta(days=3))
    desk.grant(purchase(2))
    desk.redis.flushall()
    since = (*DOING, "--since", "1h")
    assert_one_line_error(desk.credits.run(*since), "run credits rebuild without --since")
    for name, dump in backup.items():
        desk.redis.restore(name, 0, dump)
    found = desk.credits.json(*since)
    assert (found["read"], found["restored"], found["not_listed"], found["gaps"]) == (1, 1, 0, [])
    assert desk.credits.json(*DOING)["matching"] == 2


def test_events_that_polar_counts_and_does_not_list_fail_the_command(desk: Desk) -> None:
    desk.grant(*(purchase(number) for number in range(1, 4)))
    moment = desk.polar.stored[0].timestamp.replace(microsecond=0)
    desk.polar.stored[:] = [
        replace(one, id=desk.polar.stored[0].id, timestamp=moment) for one in desk.polar.stored
    ]
    done = desk.credits.run("rebuild", "--dry-run")
    assert (done.returncode, "does not list 2 of them" in done.stderr) == (1, True)
