"""Instalments to come, as a user sees them: `grants --upcoming`, `show`, `explain`."""

import csv
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.cli_session import Desk, assert_usage_error

RULES = """\
version: 1
meters: {api_usage: {}}
rules:
  - name: pro
    triggers: [subscription_create]
    grant: {api_usage: 1000}
    every: month
"""
ORDER = some_id(1)


@pytest.fixture
def delivery(desk: Desk) -> str:
    """Return the delivery of an order that has paid for a year from now."""
    now = datetime.now(UTC)
    period = {
        "id": some_id(2),
        "status": "active",
        "current_period_start": now.isoformat(),
        "current_period_end": (now + timedelta(days=360)).isoformat(),
        "started_at": now.isoformat(),
    }
    like = "order_paid_subscription_create_yearly"
    body = order_webhook(
        like, id=ORDER, customer_id=CUSTOMER, created_at=now.isoformat(), subscription=period
    )
    desk.rules(RULES)
    (delivery,) = desk.grant(body)
    return delivery


def test_instalments_to_come_are_listed(desk: Desk, delivery: str) -> None:
    every = desk.credits.json("grants", "--upcoming", "--order", ORDER)
    assert len(every) in {11, 12}
    assert every == desk.credits.json("grants", "--upcoming", "--customer", CUSTOMER)
    (next_,) = desk.credits.json("grants", "--upcoming")
    assert next_ == every[0]
    at = next_.pop("at")
    assert datetime.fromisoformat(at) > datetime.now(UTC) + timedelta(days=27)
    assert next_ == {
        "key": f"credits:instalment:{ORDER}:2:api_usage",
        "customer_id": CUSTOMER,
        "meter": "api_usage",
        "credits": 1000,
        "status": "upcoming",
        "order_id": ORDER,
        "rules": ["pro"],
        "number": 2,
        "waits": None,
        "delivery": None,
        "granted_at": None,
    }
    table = desk.credits.run("grants", "--upcoming").stdout
    assert next_["key"] in table
    (row,) = csv.DictReader(desk.credits.run("grants", "--upcoming", "--csv").stdout.splitlines())
    assert (row["key"], row["at"], row["rules"]) == (next_["key"], at, "pro")
    assert (
        desk.credits.run("grants", "--upcoming", "--order", some_id(9)).stdout == "no instalments to come\n"
    )
    both = desk.credits.run("grants", "--upcoming", "--since", "1h")
    assert_usage_error(both, "either --upcoming or --since")


def test_show_and_explain_tell_what_is_to_come(desk: Desk, delivery: str) -> None:
    for command in (("show", delivery), ("explain", ORDER)):
        text = " ".join(desk.credits.run(*command).stdout.split())
        assert "to come 1000 api_usage, due" in text
        assert "more until" in text
        upcoming = desk.credits.json(*command)["upcoming"]
        assert [one["number"] for one in upcoming][:3] == [2, 3, 4]
