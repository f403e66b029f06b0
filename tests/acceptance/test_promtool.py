"""Prometheus's own tool accepts its configuration, the alerts, and the dashboard's queries."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.monitoring_files import PROMETHEUS, annotation_expressions, panel_expressions

pytestmark = pytest.mark.heavy  # it needs Debian's package prometheus


def promtool(*args: str) -> None:
    """Run promtool beside the files; it must find nothing wrong."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([tool, *args], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["prometheus.yml", "compose.yml"])
def test_the_configuration_is_valid(file: str) -> None:
    promtool("check", "config", "--syntax-only", file)


def test_the_alerts_are_valid() -> None:
    promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """They are checked as recording rules, with a value for each of Grafana's variables."""
    queries = [*panel_expressions(), *annotation_expressions()]
    rules = [
        {
            "record": f"panel:{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$__range", "1d"),
        }
        for number, query in enumerate(queries)
    ]
    checked = tmp_path / "rules.yml"
    checked.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(checked))
