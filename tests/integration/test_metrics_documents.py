"""What the documents say of the metrics is what is told."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.support.monitoring_files import ALERTS, annotation_expressions, panel_expressions
from tests.support.paths import ROOT
from workers.monitoring.metrics import COUNTS, exposition
from workers.store import keys

METRICS_PAGE = (ROOT / "docs" / "operations" / "metrics.md").read_text(encoding="utf-8")


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bcredits_[a-z_]+", text))


def told_by(redis: Redis) -> set[str]:
    """Return the names of all metrics, as they are told without a sample too."""
    return set(re.findall(r"^# TYPE (\S+)", exposition(redis).decode(), re.MULTILINE))


def test_the_operators_table_names_what_is_told_and_nothing_else(redis: Redis) -> None:
    rows = re.findall(r"^\| (`credits_.*?) \|", METRICS_PAGE, re.MULTILINE)
    assert {name for row in rows for name in names_in(row)} == told_by(redis)


def labels_told_by(redis: Redis) -> dict[str, set[str]]:
    """Return the labels of each sample that Prometheus sees, once everything has been counted."""
    for count in COUNTS:
        redis.hincrby(keys.COUNTS, " ".join([count.name, *count.labels]), 1)
    told: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(redis).decode()):
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    return told


@pytest.mark.parametrize("expression", [*ALERTS.values(), *panel_expressions(), *annotation_expressions()])
def test_alerts_and_dashboard_use_only_metrics_and_labels_that_are_told(
    redis: Redis, expression: str
) -> None:
    told = labels_told_by(redis)
    used = re.findall(r"\b(credits_\w+)(?:\{(.*?)\})?", expression)
    assert used or "ALERTS{" in expression
    for name, selectors in used:
        assert name in told
        assert set(re.findall(r"(\w+)=", selectors)) <= told[name] | {"job"}
    grouped = {label for labels in re.findall(r"by \((.*?)\)", expression) for label in labels.split(", ")}
    assert grouped <= {label for name, _ in used for label in told[name]} | {"job", "alertname"}


@pytest.mark.parametrize("name", ["credits_webhooks_total", "credits_delivery_to_credit_seconds"])
def test_names_end_as_prometheus_wants_them(redis: Redis, name: str) -> None:
    """Counters in ``_total``, and nothing else does."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)", exposition(redis).decode(), re.MULTILINE))
    assert name in types
    assert {one for one, type_ in types.items() if type_ == "counter"} == {
        one for one in types if one.endswith("_total")
    }
