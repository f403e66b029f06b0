"""Reads the files in ``deploy`` for Prometheus and Grafana."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.paths import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "credit-granter.json").read_text())
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS: dict[str, str] = {rule["alert"]: rule["expr"] for rule in RULES}


def panel_expressions() -> Iterator[str]:
    """Yield the queries of all panels."""
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])


def annotation_expressions() -> Iterator[str]:
    """Yield the queries of the marks on the time axis."""
    yield from (one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one)
