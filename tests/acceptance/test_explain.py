"""``credits explain`` as a user types it: for a delivery and for an order. It changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tests.support.builders import CUSTOMER, PRODUCT, order_webhook, some_id
from tests.support.cli_session import NOBODY, NOWHERE, TWENTY, Desk, assert_one_line_error, purchase
from tests.support.explaining import KEY, ORDER, PICKY, PURCHASE, shown
from tests.support.processes import TEN, Credits
from tests.support.recordings import payload
from workers.store import keys

REVOKED = TEN.replace("10}", "10}, on_refund: revoke")


def refund(like: str, **data: Any) -> bytes:
    """Return a refund of the order in PURCHASE."""
    return order_webhook(like, id=ORDER, customer_id=CUSTOMER, **data)


def everything(desk: Desk) -> dict[bytes, bytes]:
    """Return all that Redis holds, RQ's own included."""
    queues = cast(Iterator[bytes], desk.redis.scan_iter("rq:*"))
    return desk.memory() | {name: cast(bytes, desk.redis.dump(name)) for name in queues}


class TestDelivery:
    """A delivery is explained by its grants in the ledger and by today's rules."""

    def test_that_was_granted_shows_its_grant_and_todays_rules(self, desk: Desk) -> None:
        (granted,) = desk.grant(PURCHASE.read_bytes())
        desk.rules(TWENTY)
        lines = shown(desk.credits, granted)
        assert "match pack grants 20 api_usage" in lines
        (line,) = [line for line in lines if line.startswith("granted ")]
        assert line.endswith(f"10 api_usage by pack, key {KEY}")
        assert not [line for line in lines if line.startswith("would be")]
        outlook = "nothing: 10 api_usage already granted (today's rules say 20 api_usage: left alone)"
        assert lines[-1] == f"if run now {outlook}"

    def test_that_was_skipped_shows_the_first_condition_that_is_false(self, desk: Desk) -> None:
        desk.rules(PICKY)
        (skipped,) = desk.grant(purchase(1))
        because = "order.net_amount > 5000 is false (order.net_amount is 1000)"
        one = desk.credits.json("explain", skipped)
        assert one["rules"] == [{"rule": "pack", "matches": False, "because": because, "fails": False}]
        assert one["outlook"] == f"skip: rule pack: {because}"
        assert f"no match pack ({because})" in shown(desk.credits, skipped)

    def test_that_was_skipped_shows_what_fixed_rules_would_grant(self, desk: Desk) -> None:
        desk.rules(NOBODY)
        (skipped,) = desk.grant(purchase(1))
        desk.rules(TEN)
        lines = shown(desk.credits, skipped)
        assert f"would grant 10 api_usage, key credits:order:{some_id(1)}:api_usage" in lines
        (line,) = [line for line in lines if line.startswith("delivery ")]
        assert line.endswith(f"skipped: no rule names product {PRODUCT}")

    def test_that_waits_shows_what_it_will_grant(self, desk: Desk) -> None:
        (waiting,) = desk.receive(purchase(1))
        one = desk.credits.json("explain", waiting)
        assert (one["outlook"], one["deliveries"][0]["status"]) == ("grant 10 api_usage", "waiting")

    def test_that_waits_for_polar_shows_its_claim(self, desk: Desk) -> None:
        (waiting,) = desk.receive(PURCHASE.read_bytes())
        desk.credits.with_settings(POLAR_SERVER=NOWHERE).run("work", "--burst")
        for what in (waiting, ORDER):
            one = desk.credits.json("explain", what)
            assert [(grant["key"], grant["status"]) for grant in one["grants"]] == [(KEY, "claimed")]
            assert [each["id"] for each in one["deliveries"]] == [waiting]
            assert one["outlook"] == "grant 10 api_usage, as claimed before"
        assert f"grant not at Polar yet 10 api_usage by pack, key {KEY}" in shown(desk.credits, ORDER)

    def test_that_cannot_be_read_shows_why(self, desk: Desk) -> None:
        (failed,) = desk.grant(b"no event")
        lines = shown(desk.credits, failed)
        assert lines[0] == "type not a readable webhook"
        assert lines[-1].startswith("if run now fail: the body cannot be read: ")

    def test_of_a_final_invoice_gives_that_reason_for_each_rule(self, desk: Desk) -> None:
        (skipped,) = desk.grant(payload("order_paid_subscription_cancel_final_invoice"))
        reason = "final invoice of an ended subscription: never credited"
        lines = shown(desk.credits, skipped)
        assert "trigger none that a rule can name" in lines
        assert f"no match pack ({reason})" in lines
        assert lines[-1] == f"if run now skip: {reason}"

    def test_of_a_refund_shows_the_amount_and_the_take_back(self, desk: Desk) -> None:
        desk.rules(REVOKED)
        _, refunded = desk.grant(PURCHASE.read_bytes(), refund("order_refunded_partial"))
        lines = shown(desk.credits, refunded)
        assert "refunded 300 cents in total, 30 % of what was paid" in lines
        assert any(
            line.endswith(f"3 api_usage by pack, key credits:refund:{ORDER}:300:api_usage") for line in lines
        )
        assert lines[-1] == "if run now nothing: the refunded share has already been taken back"

    def test_is_explained_without_rules_if_their_file_is_broken(self, desk: Desk) -> None:
        """A delivery's outcome does not depend on today's file."""
        (granted,) = desk.grant(PURCHASE.read_bytes())
        desk.rules("version: 2\n")
        done = desk.credits.run("explain", granted)
        assert done.returncode == 0
        assert done.stderr.startswith("explaining without the rules, which cannot be used: ")
        assert f"10 api_usage by pack, key {KEY}" in done.stdout
        last = " ".join(done.stdout.splitlines()[-1].split())
        assert last == "if run now unknown: the rules file cannot be used"

    def test_whose_rule_cannot_be_evaluated_shows_which_and_why(self, desk: Desk) -> None:
        desk.rules(TEN.replace("api_usage: 10", 'api_usage: "int(order.metadata.n)"'))
        (failed,) = desk.grant(PURCHASE.read_bytes())
        why = "api_usage: int(order.metadata.n): 'n' is missing (order.metadata.n is missing)"
        lines = shown(desk.credits, failed)
        assert f"error pack {why}" in lines
        assert lines[-1] == f"if run now fail: rule pack, {why}"


class TestOrder:
    """An order is explained by the delivery of its payment and all later ones."""

    def test_is_found_among_waiting_deliveries(self, desk: Desk) -> None:
        waiting, _ = desk.receive(purchase(1), purchase(2))
        one = desk.credits.json("explain", some_id(1))
        assert (one["order_id"], [each["id"] for each in one["deliveries"]]) == (some_id(1), [waiting])

    def test_that_was_paid_and_refunded_shows_both(self, desk: Desk) -> None:
        desk.rules(REVOKED)
        paid, partly, wholly = desk.grant(
            PURCHASE.read_bytes(), refund("order_refunded_partial"), refund("order_refunded_full")
        )
        one = desk.credits.json("explain", ORDER)
        assert (one["type"], one["trigger"], one["order_id"]) == ("order.paid", "purchase", ORDER)
        assert sum(grant["credits"] for grant in one["grants"]) == 0
        assert {grant["order_id"] for grant in one["grants"]} == {ORDER}
        assert one["deliveries"][0]["id"] == paid
        assert {each["id"] for each in one["deliveries"]} == {paid, partly, wholly, f"take-back-{ORDER}"}
        assert one["outlook"] == "nothing: 10 api_usage already granted"
        assert desk.polar.balance(CUSTOMER, "api_usage") == 0

    def test_is_found_by_another_spelling_of_its_id(self, desk: Desk) -> None:
        desk.grant(PURCHASE.read_bytes())
        one = desk.credits.json("explain", ORDER.upper())
        assert one["order_id"] == ORDER

    def test_is_found_in_the_ledger_after_its_delivery_expired(self, desk: Desk) -> None:
        (granted,) = desk.grant(PURCHASE.read_bytes())
        desk.redis.delete(keys.delivery(granted))
        one = desk.credits.json("explain", ORDER)
        assert (one["rules"], one["deliveries"], one["planned"]) == ([], [], [])
        assert [(grant["key"], grant["credits"]) for grant in one["grants"]] == [(KEY, 10)]
        lines = shown(desk.credits, ORDER)
        assert any(line.endswith(f"10 api_usage by pack, key {KEY}") for line in lines)
        assert lines[-1] == "if run now nothing: its delivery is no longer kept; what was granted is kept"

    def test_is_remembered_as_skipped_after_its_delivery_expired(self, desk: Desk) -> None:
        desk.rules(NOBODY)
        (skipped,) = desk.grant(PURCHASE.read_bytes())
        desk.redis.delete(keys.delivery(skipped), keys.about(ORDER))
        one = desk.credits.json("explain", ORDER)
        assert (one["type"], one["grants"], one["deliveries"]) == ("order.paid", [], [])
        assert one["outlook"] == "nothing: its webhook was skipped, and its delivery is no longer kept"


def test_an_unknown_id_is_a_one_line_error(desk: Desk) -> None:
    done = desk.credits.run("explain", some_id(7))
    assert_one_line_error(done, some_id(7), "is not a file", "credits deliveries")


def test_a_delivery_cannot_be_explained_while_redis_is_away(alone: Credits) -> None:
    here = alone.with_settings(REDIS_URL="redis://127.0.0.1:9")
    assert_one_line_error(here.run("explain", some_id(7)), "Redis", "REDIS_URL")


def test_explaining_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.rules(REVOKED)
    paid, refunded, broken, _ = desk.grant(
        PURCHASE.read_bytes(), refund("order_refunded_partial"), b"no event", payload("customer_created")
    )
    (waiting,) = desk.receive(purchase(2))
    later = tmp_path / "later.json"
    later.write_bytes(refund("order_refunded_full"))
    before, requests = everything(desk), len(desk.polar.received)
    for what in (str(PURCHASE), str(later), paid, refunded, broken, waiting, ORDER, some_id(7)):
        assert desk.credits.run("explain", what).returncode == (what == some_id(7))
    assert everything(desk) == before
    assert len(desk.polar.received) == requests


def test_rules_are_tried_on_a_sample_with_changed_fields(alone: Credits) -> None:
    (alone.folder / "rules.yaml").write_text(
        TEN.replace("pack,", "pack, when: order.metadata.campaign == 'bf26',")
    )
    sample = ["explain", "--sample", "purchase", "--product", some_id(7)]
    assert alone.json(*sample)["planned"] == []
    explained = alone.json(*sample, "--set", "order.metadata.campaign=bf26")
    assert (explained["product_id"], explained["planned"][0]["credits"]) == (some_id(7), 10)
