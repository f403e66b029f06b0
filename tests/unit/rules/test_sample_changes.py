"""Changed fields of a sample: paths as rules write them, values as JSON or text, and helpful refusals."""

import json
from typing import Any

import pytest

from config.samples import make_sample
from config.samples.changes import ChangeError, apply_changes


def changed(*changes: str, sample: str = "subscription_cycle") -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(apply_changes(make_sample(sample), changes))
    return whole


def refusal(*changes: str, sample: str = "subscription_cycle") -> str:
    with pytest.raises(ChangeError) as caught:
        changed(*changes, sample=sample)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gold", "gold"),
        ("5", 5),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"5"', "5"),
        ('{"a": [1]}', {"a": [1]}),
        ("NaN", "NaN"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    assert changed(f"order.metadata.plan={text}")["data"]["metadata"]["plan"] == value


def test_paths_begin_with_the_objects_that_rules_see() -> None:
    data = changed("order.seats=3", "subscription.status=paused", "customer.email=a@b.example")["data"]
    assert (data["seats"], data["subscription"]["status"], data["customer"]["email"]) == (
        3,
        "paused",
        "a@b.example",
    )


def test_a_subscriptions_own_webhook_is_a_subscription() -> None:
    assert changed("subscription.seats=4", sample="subscription.cycled")["data"]["seats"] == 4


def test_a_body_without_changes_keeps_its_bytes() -> None:
    body = b'{"type" : "order.paid", "data": {}}'
    assert apply_changes(body, []) is body


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"5", b'{"type": "order.paid"}', b'{"data": 5}'])
def test_what_is_no_webhook_cannot_be_changed(body: bytes) -> None:
    with pytest.raises(ChangeError, match="is not a webhook"):
        apply_changes(body, ["order.seats=5"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("order.metadata.plan", "has no value: write a path, = and a value"),
        ("plan=5", "is not a path such as order.metadata.plan"),
        ("order.set=5", "this webhook has no order.set; did you mean 'seats'?"),
        ("order.metdata.plan=5", "this webhook has no order.metdata; did you mean 'metadata'?"),
        ("oder.seats=5", "this webhook has no oder; did you mean 'order'?"),
        ("order.currency.code=5", "order.currency is not an object in this webhook"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(change: str, words: str) -> None:
    """A mistyped path would show that a rule does not match, for a reason that nobody sees."""
    assert words in refusal(change)
