"""The alerts for Prometheus and the dashboard for Grafana: complete, and in order.

``tests/integration/test_metrics_documents.py`` holds their metrics and labels against ``/metrics``.
"""

import re
import shlex
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.support.commands import parse_command
from tests.support.monitoring_files import ALERTS, DASHBOARD, PANELS, PROMETHEUS, RULES
from tests.support.paths import ROOT

CASES = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_how_bad_it_is_and_which_command_is_next(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    parse_command(shlex.split(rule["annotations"]["next"]))


def test_every_alert_is_tried_while_all_is_well_and_when_it_fires() -> None:
    tried = [(case["name"], one) for case in CASES for one in case["alert_rule_test"]]
    well = {one["alertname"] for name, one in tried if "is well" in name}
    fires = {one["alertname"] for _, one in tried if one.get("exp_alerts")}
    assert well == fires == set(ALERTS)


def test_the_alerts_page_lists_every_alert() -> None:
    page = (ROOT / "docs" / "operations" / "alerts.md").read_text()
    assert set(re.findall(r"`(Credits\w+)`", page)) == set(ALERTS)


def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["targets"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        assert all(re.search(r'job="\$job"', target["expr"]) for target in panel["targets"])
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job"]


def test_the_panels_have_rows_and_do_not_overlap() -> None:
    rows = [one["title"] for one in DASHBOARD["panels"] if one["type"] == "row"]
    assert rows == ["Now", "Webhooks", "Workers", "Polar", "Money", "Storefront", "Redis"]
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for one in DASHBOARD["panels"]:
        assert one["gridPos"]["x"] + one["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        assert not overlap(one, other)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Return whether two places on the grid share a cell."""
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
