"""``credits forget``, and how the other commands treat erased deliveries."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from tests.support.builders import CUSTOMER, order_webhook, some_id, webhook
from tests.support.cli_session import (
    STRANGER,
    Desk,
    assert_one_line_error,
    assert_usage_error,
    purchase,
    strangers_purchase,
)
from tests.support.processes import Credits
from tests.support.recordings import payload
from tests.support.terminals import at_a_keyboard
from workers.store import keys

pytestmark = pytest.mark.heavy  # starts a command for each test

PURCHASE = payload("order_paid_purchase")
ORDER = json.loads(PURCHASE)["data"]["id"]
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


@pytest.fixture
def forgotten(desk: Desk) -> str:
    """Return a granted delivery whose body is erased."""
    (granted,) = desk.grant(PURCHASE)
    desk.credits.json("forget", "--customer", CUSTOMER, "--yes")
    return granted


def test_every_body_about_a_customer_is_erased_and_the_credits_remain(desk: Desk) -> None:
    theirs = desk.grant(purchase(1), purchase(1), purchase(2), webhook("customer_created", id=CUSTOMER))
    (other,) = desk.grant(strangers_purchase())
    report = desk.credits.json("forget", "--customer", CUSTOMER, "--yes")
    assert (sorted(report.pop("erased")), report.pop("customer_id")) == (sorted(theirs), CUSTOMER)
    assert report == {"waiting": [], "unread": 0, "append_only_file_error": None}
    for one in theirs:
        assert desk.credits.json("show", one)["body"] is None
    assert json.loads(desk.credits.json("show", other)["body"])["data"]["customer_id"] == STRANGER
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20
    assert len(desk.credits.json("show", theirs[0])["grants"]) == 1


def test_neither_redis_nor_its_files_contain_the_personal_data_anymore(desk: Desk) -> None:
    (granted,) = desk.grant(PURCHASE)
    folder = Path(cast(dict[str, str], desk.redis.config_get("dir"))["dir"])
    stored = cast(bytes, desk.redis.get(keys.body(granted)))

    def is_on_disk() -> bool:
        return any(stored in file.read_bytes() for file in folder.glob("appendonlydir/*"))

    assert is_on_disk()
    desk.credits.json("forget", "--customer", CUSTOMER, "--yes")
    assert not is_on_disk()
    assert not any(b"Lovelace" in value or stored in value for value in desk.memory().values())


def test_it_prints_what_is_erased(desk: Desk) -> None:
    (granted,) = desk.grant(purchase(1))
    done = desk.credits.run("forget", "--customer", CUSTOMER.upper(), "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert granted in done.stdout
    assert done.stdout.splitlines()[-1] == "1 body erased"
    again = desk.credits.run("forget", "--customer", CUSTOMER)
    assert (again.returncode, again.stdout) == (0, "nothing to erase\n")


def test_without_a_terminal_it_requires_yes(desk: Desk) -> None:
    desk.grant(purchase(1))
    before = desk.memory()
    done = desk.credits.run("forget", "--customer", CUSTOMER, "--json")
    assert_usage_error(done, "this would erase 1 body for ever; add --yes to confirm")
    assert desk.memory() == before


@pytest.mark.heavy
def test_its_question_is_not_printed_to_standard_output(desk: Desk) -> None:
    (granted,) = desk.grant(purchase(1))
    done = at_a_keyboard(desk.credits, "forget", "--customer", CUSTOMER, "--json", answer="y")
    assert json.loads(done.stdout)["erased"] == [granted]
    assert "Erase 1 body for ever?" in done.stderr


@pytest.mark.parametrize("what", ["ada@example.com", "usr_d920e2ae68", ""])
def test_a_customer_is_named_by_polars_id(alone: Credits, what: str) -> None:
    assert_usage_error(alone.run("forget", "--customer", what), "is not a customer's id at Polar")


def test_waiting_deliveries_are_named_and_kept_until_granted(desk: Desk) -> None:
    desk.grant(purchase(1))
    (waiting,) = desk.receive(purchase(2))
    done = desk.credits.run("forget", "--customer", CUSTOMER, "--yes")
    assert done.returncode == 1
    assert (
        done.stderr
        == f"not erased, because they still wait: {waiting}; run the command again once they are settled\n"
    )
    assert desk.credits.run("work", "--burst").returncode == 0
    assert desk.polar.balance(CUSTOMER, "api_usage") == 20
    assert desk.credits.json("forget", "--customer", CUSTOMER, "--yes")["erased"] == [waiting]


def test_show_says_when_the_body_was_erased(desk: Desk, forgotten: str) -> None:
    one = desk.credits.json("show", forgotten)
    assert (one["status"], one["body"], one["customer_id"]) == ("granted", None, CUSTOMER)
    assert one["body_erased_at"].startswith(TODAY)
    for args in ([], ["--body"]):
        assert f"body erased on {TODAY}" in desk.credits.run("show", forgotten, *args).stdout


@pytest.mark.parametrize("by", ["delivery", "order"])
def test_explain_says_that_the_body_was_erased_and_what_was_granted(
    desk: Desk, forgotten: str, by: str
) -> None:
    what = {"delivery": forgotten, "order": ORDER}[by]
    one = desk.credits.json("explain", what)
    assert [grant["credits"] for grant in one["grants"]] == [10]
    assert (
        one["outlook"]
        == f"nothing: its body was erased on {TODAY} (credits forget); what was granted is kept"
    )
    assert f"its body was erased on {TODAY}" in desk.credits.run("explain", what).stdout


def test_explain_prefers_a_delivery_that_can_be_read(desk: Desk, forgotten: str) -> None:
    (later,) = desk.grant(PURCHASE)
    one = desk.credits.json("explain", ORDER)
    assert [each["id"] for each in one["deliveries"]] == [forgotten, later]
    assert one["rules"][0]["matches"]


def test_replay_by_id_says_that_the_body_is_erased(desk: Desk, forgotten: str) -> None:
    for args in ([], ["--dry-run"]):
        done = desk.credits.run("replay", forgotten, "--yes", *args)
        assert_one_line_error(done, "cannot be replayed", forgotten, f"body erased on {TODAY}")


def test_replay_by_status_leaves_out_erased_deliveries(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    (granted,) = desk.grant(purchase(1))
    desk.credits.json("forget", "--customer", STRANGER, "--yes")
    desk.polar.add_customer(STRANGER)
    done = desk.credits.run("replay", "--all", "--yes", "--json")
    assert done.returncode == 0
    assert [one["id"] for one in json.loads(done.stdout)] == [granted]
    assert done.stderr == "1 left out: their bodies were erased (credits forget)\n"
    assert desk.status_of(failed)[0] == "failed"


def test_a_later_webhook_is_stored_again(desk: Desk, forgotten: str) -> None:
    (later,) = desk.grant(order_webhook(id=some_id(2)))
    assert desk.credits.json("show", later)["body"] is not None
    assert desk.credits.json("forget", "--customer", CUSTOMER, "--yes")["erased"] == [later]
    assert desk.credits.json("show", forgotten)["body"] is None
