"""``credits replay`` as a user types it: it credits what could not be credited before, and nobody twice."""

import pytest

from tests.support.builders import CUSTOMER, PRODUCT
from tests.support.cli_session import NOBODY, STRANGER, TWENTY, Desk, purchase, strangers_purchase
from tests.support.processes import TEN
from tests.support.recordings import payload
from tests.support.terminals import at_a_terminal

pytestmark = pytest.mark.heavy  # starts a command for each test


def test_replay_grants_a_failed_delivery_once_the_customer_exists(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    assert desk.credits.run("replay", "--failed", "--yes").returncode == 1
    desk.polar.add_customer(STRANGER)
    (one,) = desk.credits.json("replay", "--failed", "--yes")
    assert (one["id"], one["status"], one["reason"]) == (failed, "granted", "10 api_usage")
    assert desk.status_of(failed) == ("granted", "10 api_usage")
    assert desk.polar.balance(STRANGER, "api_usage") == 10


def test_replay_grants_a_skipped_delivery_once_the_rules_are_fixed(desk: Desk) -> None:
    desk.rules(NOBODY)
    (skipped,) = desk.grant(purchase(1))
    assert desk.status_of(skipped) == ("skipped", f"no rule names product {PRODUCT}")
    desk.rules(TEN)
    done = desk.credits.run("replay", "--skipped", "--yes")
    assert (done.returncode, skipped in done.stdout) == (0, True)
    assert desk.status_of(skipped)[0] == "granted"
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10


def test_replay_leaves_a_grant_alone_and_says_how_the_rules_differ(desk: Desk) -> None:
    (granted,) = desk.grant(purchase(1))
    desk.rules(TWENTY)
    (one,) = desk.credits.json("replay", granted, "--yes")
    assert one["status"] == "granted"
    assert "today's rules say 20 api_usage" in one["reason"]
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10
    assert len(desk.polar.events) == 1


def test_replaying_everything_repeatedly_credits_nobody_twice(desk: Desk) -> None:
    desk.grant(purchase(1), purchase(1), purchase(2))
    for _ in range(2):
        assert desk.credits.run("replay", "--all", "--yes").returncode == 0
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20


def test_replay_runs_a_waiting_delivery_without_a_worker(desk: Desk) -> None:
    (waiting,) = desk.receive(purchase(1))
    assert desk.credits.run("replay", waiting, "--yes").returncode == 0
    assert desk.status_of(waiting)[0] == "granted"


def test_replay_is_oldest_first_and_respects_its_filters(desk: Desk) -> None:
    desk.rules(NOBODY)
    first, second, _ = desk.grant(purchase(1), purchase(2), payload("customer_created"))
    desk.rules(TEN)
    replay = ["replay", "--skipped", "--type", "order.paid", "--since", "1h"]
    assert [one["id"] for one in desk.credits.json(*replay, "--dry-run")] == [first, second]
    replay[-1] = "2100-01-01T00:00:00Z"
    assert desk.credits.json(*replay, "--dry-run") == []


@pytest.mark.parametrize("args", [["--dry-run"], ["--dry-run", "--yes"]], ids=" ".join)
def test_a_dry_run_says_what_would_happen_and_changes_nothing(desk: Desk, args: list[str]) -> None:
    granted, failed = desk.grant(purchase(1), strangers_purchase())
    before, requests = desk.memory(), len(desk.polar.received)
    prospects = {one["id"]: one["would"] for one in desk.credits.json("replay", "--all", *args)}
    assert prospects == {
        granted: "nothing: 10 api_usage already granted",
        failed: "grant 10 api_usage, as claimed before",
    }
    assert failed in desk.credits.run("replay", "--all", *args).stdout
    assert (desk.memory(), len(desk.polar.received)) == (before, requests)


def test_a_plan_has_totals_and_only_counts_what_would_stay_as_it_is(desk: Desk) -> None:
    desk.rules(NOBODY)
    skipped = desk.grant(*(purchase(number) for number in range(1, 3)), payload("customer_created"))
    desk.rules(TEN)
    code, shown = at_a_terminal(desk.credits, "replay", "--skipped", answer="n")
    assert (code, skipped[2] in shown) == (0, False)
    assert "in all: 2 grants, 20 api_usage; 1 stays skipped (--dry-run --json lists all)\r\n" in shown
    assert "Replay 3 deliveries: 2 grants, 20 api_usage? [y/N]" in shown


def test_where_nothing_would_change_it_does_not_ask(desk: Desk) -> None:
    granted, failed = desk.grant(purchase(1), b'{"type": "order.paid", "data": {}}')
    before = desk.memory()
    code, shown = at_a_terminal(desk.credits, "replay", granted)
    assert (code, "already granted" in shown, "[y/N]" in shown) == (0, True, False)
    done = desk.credits.run("replay", "--all")
    assert (done.returncode, granted in done.stdout, failed in done.stdout) == (1, False, True)
    assert "in all: nothing would change; 1 stays granted; 1 stays failed" in done.stdout
    assert (desk.credits.run("replay", granted, "--json").stdout, desk.memory()) == ("[]\n", before)


def test_without_a_terminal_replay_requires_yes(desk: Desk) -> None:
    desk.grant(strangers_purchase())
    before = desk.memory()
    done = desk.credits.run("replay", "--failed")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert desk.memory() == before


def test_nothing_to_replay_is_a_success(desk: Desk) -> None:
    done = desk.credits.run("replay", "--failed", "--yes")
    assert (done.returncode, done.stdout) == (0, "nothing to replay\n")
    assert desk.credits.json("replay", "--failed", "--yes") == []
