"""Hints of commands: that a store is empty, what they wait for. None appears among the results."""

import re

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER
from tests.support.cli_session import Desk, assert_one_line_error, purchase, strangers_purchase
from tests.support.processes import Credits, eventually
from tests.support.terminals import at_a_terminal
from workers.store import keys

pytestmark = pytest.mark.heavy  # commands run on a terminal

AWAY = "no answer from Polar: ConnectError: [Errno 111] Connection refused"
ORDER = "2a9bd3c2-84d9-4be8-9a3d-b03af1044217"
FIVE = ("--meter", "api_usage", "--units", "5", "--key", "beta")


def pause(redis: Redis) -> None:
    """Start a pause, as workers do when Polar is away."""
    redis.set(keys.PAUSE, AWAY, px=60_000)


@pytest.mark.parametrize(
    "args",
    [["status"], ["deliveries"], ["grants"], ["replay", "--failed"], ["revoke", ORDER, "--dry-run"]],
    ids=lambda args: args[0],
)
def test_a_command_on_an_empty_store_says_so_and_names_it(alone: Credits, args: list[str]) -> None:
    lines = alone.run(*args).stderr.splitlines()
    folder = alone.folder / "data"
    assert lines[0] == f"nothing is stored here yet: embedded, in {folder} (there is no .env in this folder)"


def test_a_store_that_has_something_is_not_called_empty_and_status_says_where_it_is(alone: Credits) -> None:
    (alone.folder / ".env").write_text("# nothing\n")
    with alone.stores() as held:
        held.redis.set("anything", 1)
        done = alone.run("status")
    assert done.stderr == ""
    assert f"embedded, in {alone.folder / 'data'}\n" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["grant", "--customer", CUSTOMER, *FIVE],
        ["replay", "--all", "--yes"],
        ["recover", "--since", "1d"],
        ["backfill", "--since", "1d"],
        ["rebuild"],
    ],
    ids=lambda args: args[0],
)
def test_a_wait_for_polar_is_reported_with_its_reason(desk: Desk, args: list[str]) -> None:
    desk.receive(purchase(1))
    pause(desk.redis)
    with desk.credits.running(*args) as command:
        eventually(
            lambda: re.search(f"waiting for Polar, [0-9]+ (s|min) left: {re.escape(AWAY)}\n", command.said)
        )


def test_balance_does_not_wait_until_polar_is_back(desk: Desk) -> None:
    pause(desk.redis)
    done = desk.credits.run("balance", "--customer", CUSTOMER)
    assert_one_line_error(done, f"no requests to Polar for now: {AWAY}")
    assert desk.redis.pttl(keys.PAUSE) > 0


def test_on_a_terminal_a_replay_prints_its_result_without_log_lines(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    code, shown = at_a_terminal(desk.credits, "replay", failed, answer="y")
    assert code == 1
    assert shown.count("Customer not found.") == 1
    assert "process=replay" not in shown


def test_a_rebuild_with_nothing_to_restore_says_so_without_a_progress_bar(desk: Desk) -> None:
    desk.grant(purchase(1))
    code, shown = at_a_terminal(desk.credits, "rebuild")
    assert code == 0
    assert shown.endswith("nothing to restore\r\n")


def test_without_a_terminal_the_log_has_the_failures(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    assert '"event":"failed"' in desk.credits.run("replay", failed, "--yes").stderr
