"""Reads ``/metrics`` as an operator does."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.receivers import OPS_TOKEN

OPERATOR = {"Authorization": f"Bearer {OPS_TOKEN}"}

Numbers = dict[str, float]


def numbers_of(text: str) -> Numbers:
    """Return every sample by its name and the values of its labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(receiver: str) -> Numbers:
    answer = httpx.get(receiver + "/metrics", headers=OPERATOR)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return numbers_of(answer.text)


def has_counted_anything(numbers: Numbers) -> bool:
    """Return whether any number but Redis's own is not zero."""
    return any(value for name, value in numbers.items() if not name.startswith("credits_redis_"))
