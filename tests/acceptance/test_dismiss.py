"""``credits dismiss`` as a user types it."""

from tests.support.builders import CUSTOMER
from tests.support.cli_session import (
    STRANGER,
    Desk,
    assert_one_line_error,
    assert_usage_error,
    purchase,
    strangers_purchase,
)


def test_a_dismissed_delivery_no_longer_counts_as_failed_and_keeps_its_reason(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    _, reason = desk.status_of(failed)
    done = desk.credits.run("dismiss", failed)
    assert (done.returncode, done.stderr) == (0, "")
    assert failed in done.stdout
    assert desk.status_of(failed) == ("skipped", f"dismissed: {reason}")
    assert desk.credits.json("status")["checks"]["failed"]["ok"]
    assert desk.listed("--status", "failed") == []


def test_several_can_be_dismissed_at_once_and_again(desk: Desk) -> None:
    ids = desk.grant(strangers_purchase(), b"no webhook")
    once = desk.credits.json("dismiss", *ids)
    assert [(one["id"], one["status"]) for one in once] == [(one, "skipped") for one in ids]
    assert all(one["reason"].startswith("dismissed: ") for one in once)
    assert desk.credits.json("dismiss", *ids, ids[0]) == once


def test_if_one_delivery_did_not_fail_none_is_dismissed(desk: Desk) -> None:
    granted, failed = desk.grant(purchase(1), strangers_purchase())
    (waiting,) = desk.receive(purchase(2))
    before = desk.memory()
    done = desk.credits.run("dismiss", failed, granted, waiting)
    assert_one_line_error(
        done, "only failed", f"{granted} is granted", f"{waiting} is waiting", "nothing was dismissed"
    )
    assert_one_line_error(desk.credits.run("dismiss", failed, "gone"), "no delivery gone")
    assert desk.memory() == before


def test_a_dismissed_delivery_can_still_be_replayed(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    desk.credits.json("dismiss", failed)
    desk.polar.add_customer(STRANGER)
    assert desk.credits.run("replay", failed, "--yes").returncode == 0
    assert desk.polar.balance(STRANGER, "api_usage") == 10
    assert desk.polar.balance(CUSTOMER, "api_usage") == 0


def test_dismiss_requires_a_delivery(desk: Desk) -> None:
    assert_usage_error(desk.credits.run("dismiss"), "Missing argument")


def test_a_dismissed_delivery_is_replayed_only_by_its_id(desk: Desk) -> None:
    """A person may have credited it in another way, and it must not be credited twice."""
    (failed,) = desk.grant(strangers_purchase())
    desk.credits.json("dismiss", failed)
    desk.polar.add_customer(STRANGER)
    for args in (["--skipped"], ["--all"]):
        assert desk.credits.run("replay", *args, "--yes").stdout == "nothing to replay\n"
    assert desk.polar.balance(STRANGER, "api_usage") == 0
