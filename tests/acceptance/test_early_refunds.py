"""A refund that came before its order was credited, as commands show it."""

from tests.support.builders import CUSTOMER, refund_webhook, some_id
from tests.support.cli_session import STRANGER, Desk, assert_one_line_error, purchase, strangers_purchase
from tests.support.processes import TEN
from workers.core.take_back_delivery import take_back_delivery

REVOCABLE = TEN.replace("api_usage: 10}", "api_usage: 10}, on_refund: revoke")
TAKING = take_back_delivery(some_id(1))


def test_its_take_back_is_a_delivery_that_can_be_listed_shown_explained_and_replayed(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    (refunded,) = desk.grant(refund_webhook(300, id=some_id(1)))
    status, reason = desk.status_of(refunded)
    assert (status, "counts when the order is credited" in reason) == ("skipped", True)
    desk.grant(purchase(1))
    assert desk.polar.balance(CUSTOMER, "api_usage") == 7
    assert desk.listed("--type", "credits.take_back") == [TAKING]
    shown = desk.credits.json("show", TAKING)
    assert (shown["type"], shown["status"], shown["reason"]) == (
        "credits.take_back",
        "granted",
        "took back 3 api_usage",
    )
    assert (shown["order_id"], shown["customer_id"]) == (some_id(1), CUSTOMER)
    explained = desk.credits.json("explain", TAKING)
    assert explained["outlook"] == "nothing: the refunded share has already been taken back"
    (replayed,) = desk.credits.json("replay", TAKING, "--yes")
    assert replayed["reason"] == "took back 3 api_usage"
    assert len(desk.polar.events) == 2


def test_a_replay_of_its_order_takes_back_without_a_worker(desk: Desk) -> None:
    desk.rules(REVOCABLE)
    (failed,) = desk.grant(strangers_purchase())
    order_id = desk.credits.json("show", failed)["order_id"]
    desk.grant(refund_webhook(500, id=order_id, customer_id=STRANGER))
    desk.polar.add_customer(STRANGER)
    outcomes = desk.credits.json("replay", failed, "--yes")
    assert [one["reason"] for one in outcomes] == ["10 api_usage", "took back 5 api_usage"]
    assert desk.polar.balance(STRANGER, "api_usage") == 5


def test_a_revoke_of_credits_that_polar_refused_is_refused_and_sends_nothing(desk: Desk) -> None:
    (failed,) = desk.grant(strangers_purchase())
    order_id = desk.credits.json("show", failed)["order_id"]
    desk.polar.add_customer(STRANGER)
    done = desk.credits.run("revoke", order_id)
    assert_one_line_error(done, "is not credited at Polar yet", f"`credits show {failed}`", "credits dismiss")
    desk.credits.json("dismiss", failed)
    assert_one_line_error(desk.credits.run("revoke", order_id), f"dismissed with delivery {failed}")
    assert desk.polar.events == []
