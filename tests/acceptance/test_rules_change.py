"""The rules file changes while a worker runs."""

import json
from typing import Any

import pytest

from tests.support.builders import CUSTOMER
from tests.support.cli_session import Desk, purchase
from tests.support.processes import Running, eventually
from tests.support.rulebooks import BROKEN, TWENTY
from workers.monitoring.health import Check, examine

pytestmark = pytest.mark.heavy  # a changed file must be still for seconds


def test_a_running_worker_loads_changed_rules_and_keeps_them_if_the_file_breaks(desk: Desk) -> None:
    with desk.credits.running("work") as worker:
        assert credits_for_order(desk, 1) == 10
        ten = rules_check(desk)

        desk.rules(TWENTY)
        eventually(lambda: rules_check(desk).detail != ten.detail)
        twenty = rules_check(desk)
        assert twenty.ok
        assert credits_for_order(desk, 2) == 20
        assert len(events(worker, "rules reloaded")) == 1

        desk.rules(BROKEN)
        eventually(lambda: not rules_check(desk).ok)
        assert rules_check(desk).detail.startswith(f"{twenty.detail}; ")
        assert desk.credits.json("status")["well"] is False
        assert credits_for_order(desk, 3) == 20
        (report,) = events(worker, "rules file refused")
        assert any("grnat" in problem for problem in report["problems"])


def rules_check(desk: Desk) -> Check:
    (found,) = [one for one in examine(desk.redis) if one.name == "rules"]
    return found


def credits_for_order(desk: Desk, number: int) -> float:
    """Receive a new paid order; return how much its customer is credited."""
    before = desk.polar.balance(CUSTOMER, "api_usage")
    desk.receive(purchase(number))
    eventually(lambda: desk.polar.balance(CUSTOMER, "api_usage") != before)
    return float(desk.polar.balance(CUSTOMER, "api_usage") - before)


def events(worker: Running, name: str) -> list[dict[str, Any]]:
    """Return the events with this name that a running command has logged."""
    whole_lines = worker.said.rpartition("\n")[0].splitlines()
    logged = [json.loads(line) for line in whole_lines if line.startswith("{")]
    # The background process reads the rules as well, and logs the same.
    return [one for one in logged if one["event"] == name and one["process"].startswith("worker")]
