"""``credits explain`` for a file: by the rules, and by the ledger if there is one."""

import json
from collections.abc import Iterator

import pytest

from tests.support.builders import CUSTOMER, PRODUCT, some_id
from tests.support.cli_session import Desk, assert_one_line_error
from tests.support.explaining import KEY, ORDER, PURCHASE, shown
from tests.support.processes import TEN, Credits
from tests.support.recordings import PAYLOADS


@pytest.fixture
def nothing_there(alone: Credits) -> Iterator[Credits]:
    """Yield the commands without a Redis; check that they do not create one."""
    before = sorted(alone.folder.iterdir())
    yield alone
    assert sorted(alone.folder.iterdir()) == before


class TestFile:
    """A file is explained by the rules, and by the ledger if there is one."""

    def test_shows_the_instalments_that_would_follow(self, nothing_there: Credits) -> None:
        rules = nothing_there.folder / "rules.yaml"
        before = rules.read_text()
        rules.write_text(before.replace("10}", "10}, every: month, triggers: [subscription_create]"))
        yearly = str(PAYLOADS / "order_paid_subscription_create_yearly.json")
        lines = shown(nothing_there, yearly)
        done = nothing_there.run("explain", yearly, "--json")
        rules.write_text(before)
        assert "and then 10 api_usage each month, 11 times from 2026-12-28 to 2027-10-28" in lines
        (series,) = json.loads(done.stdout)["instalments"]
        assert (series["meter"], series["every"], series["credits"]) == ("api_usage", "month", 10)
        assert series["dates"][0] == "2026-12-28T20:39:49.131000Z"
        assert len(series["dates"]) == 11

    def test_is_explained_without_any_setup(self, nothing_there: Credits) -> None:
        lines = shown(nothing_there, str(PURCHASE))
        for line in (
            "type order.paid",
            "trigger purchase",
            f"product Credit pack 100 ({PRODUCT})",
            f"order {ORDER}",
            f"customer {CUSTOMER}",
            "match pack grants 10 api_usage",
            f"would grant 10 api_usage, key {KEY}",
            "if run now grant 10 api_usage",
        ):
            assert line in lines

    def test_is_explained_as_json(self, nothing_there: Credits) -> None:
        assert nothing_there.json("explain", str(PURCHASE)) == {
            "type": "order.paid",
            "trigger": "purchase",
            "moment": "2026-11-21T02:13:24.281381Z",
            "order_id": ORDER,
            "customer_id": CUSTOMER,
            "product_id": PRODUCT,
            "refunded_amount": None,
            "rules": [{"rule": "pack", "matches": True, "because": "grants 10 api_usage", "fails": False}],
            "planned": [{"key": KEY, "meter": "api_usage", "credits": 10, "rules": ["pack"]}],
            "instalments": [],
            "grants": [],
            "upcoming": [],
            "outlook": "grant 10 api_usage",
            "deliveries": [],
        }

    @pytest.mark.parametrize(
        ("name", "outlook"),
        [
            ("order_paid_subscription_create", "grant 10 api_usage"),
            (
                "order_paid_subscription_cancel_final_invoice",
                "skip: final invoice of an ended subscription: never credited",
            ),
            ("customer_created", "skip: no rule has the trigger customer.created"),
            ("other_product_updated", "skip: product.updated is ignored: no rule can credit it"),
            (
                "order_refunded_full",
                "nothing: this order has not been credited yet: the refund counts when the order is credited",
            ),
        ],
    )
    def test_of_any_webhook_type_shows_the_outlook(
        self, nothing_there: Credits, name: str, outlook: str
    ) -> None:
        assert shown(nothing_there, str(PAYLOADS / f"{name}.json"))[-1] == f"if run now {outlook}"

    def test_without_a_webhook_in_it_says_so(self, alone: Credits) -> None:
        (alone.folder / "notes.txt").write_text("no event")
        lines = shown(alone, "notes.txt")
        assert lines[0] == "type not a readable webhook"
        assert lines[-1].startswith("if run now fail: the body cannot be read: ")

    def test_is_explained_by_the_rules_alone_if_redis_is_away(self, alone: Credits) -> None:
        here = alone.with_settings(REDIS_URL="redis://:open-sesame@127.0.0.1:9/0")
        done = here.run("explain", str(PURCHASE))
        assert done.returncode == 0
        assert "explaining by the rules alone, as the ledger cannot be read" in done.stderr
        assert "open-sesame" not in done.stderr
        assert "grant 10 api_usage" in done.stdout
        assert here.json("explain", str(PURCHASE))["outlook"] == "grant 10 api_usage"

    def test_of_a_credited_order_says_so(self, desk: Desk) -> None:
        desk.grant(PURCHASE.read_bytes())
        one = desk.credits.json("explain", str(PURCHASE))
        assert one["outlook"] == "nothing: 10 api_usage already granted"
        assert [grant["key"] for grant in one["grants"]] == [KEY]

    @pytest.mark.parametrize("text", [TEN.replace("grant", "grnat"), None], ids=["broken", "gone"])
    def test_without_usable_rules_is_one_line_per_problem(self, alone: Credits, text: str | None) -> None:
        rules = alone.folder / "rules.yaml"
        rules.write_text(text) if text else rules.unlink()
        done = alone.run("explain", str(PURCHASE))
        assert (done.returncode, done.stdout) == (1, "")
        assert all("rules.yaml:" in line for line in done.stderr.splitlines())


def test_an_argument_longer_than_any_file_name_is_a_one_line_error(desk: Desk) -> None:
    assert_one_line_error(desk.credits.run("explain", "x" * 300), "is not a file")


def test_a_mistyped_file_name_starts_no_redis(alone: Credits) -> None:
    assert_one_line_error(alone.run("explain", "gone.json"), "gone.json is not a file")
    assert [path.name for path in alone.folder.iterdir()] == ["rules.yaml"]


def test_a_file_is_explained_with_changed_fields(alone: Credits) -> None:
    """A change that the file does not show must not be mistaken for what was stored: an id takes none."""
    explained = alone.json("explain", str(PURCHASE), "--set", f"order.product_id={some_id(7)}")
    assert explained["product_id"] == some_id(7)
    done = alone.run("explain", ORDER, "--set", "order.seats=5")
    assert (done.returncode, "--set changes a sample or a file" in done.stderr) == (2, True)
