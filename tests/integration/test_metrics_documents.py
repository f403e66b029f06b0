"""What the documents say of the metrics is what is told."""

import re

import pytest
import yaml
from redis import Redis

from tests.support.paths import ROOT
from workers.monitoring.metrics import exposition

METRICS_PAGE = (ROOT / "docs" / "operations" / "metrics.md").read_text(encoding="utf-8")


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bcredits_[a-z_]+", text))


def told_by(redis: Redis) -> set[str]:
    """Return the names of all metrics, as they are told without a sample too."""
    return set(re.findall(r"^# TYPE (\S+)", exposition(redis).decode(), re.MULTILINE))


def test_the_operators_table_names_what_is_told_and_nothing_else(redis: Redis) -> None:
    rows = re.findall(r"^\| (`credits_.*?) \|", METRICS_PAGE, re.MULTILINE)
    assert {name for row in rows for name in names_in(row)} == told_by(redis)


def test_the_alerts_shown_are_of_what_is_told(redis: Redis) -> None:
    (block,) = re.findall(r"^```yml\n(.*?)^```$", METRICS_PAGE, re.MULTILINE | re.DOTALL)
    alerts = [one for group in yaml.safe_load(block)["groups"] for one in group["rules"]]
    assert len(alerts) >= 3
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for one in alerts for name in names_in(one["expr"])}
    assert families <= told_by(redis)
    assert all(one["annotations"]["summary"] for one in alerts)


@pytest.mark.parametrize("name", ["credits_webhooks_total", "credits_delivery_to_credit_seconds"])
def test_names_end_as_prometheus_wants_them(redis: Redis, name: str) -> None:
    """Counters in ``_total``, and nothing else does."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)", exposition(redis).decode(), re.MULTILINE))
    assert name in types
    assert {one for one, type_ in types.items() if type_ == "counter"} == {
        one for one in types if one.endswith("_total")
    }
