"""A body that is shown says nothing about who it is about."""

import json
from typing import Any

import pytest

from app.desk.masking import MASK, masked_body
from tests.support.recordings import PAYLOADS, payload

WEBHOOKS = sorted(one.stem for one in PAYLOADS.glob("*.json") if not one.stem.endswith(".headers"))


def personal(value: Any, inside: str = "") -> list[str]:
    """Return every text of a JSON value that says who somebody is."""
    found: list[str] = []
    if isinstance(value, dict):
        for name, one in value.items():
            is_name = name == "name" and inside in {"customer", "user"}
            if isinstance(one, str) and (name.endswith(("email", "billing_name")) or is_name):
                found.append(one)
            found += personal(one, inside if name == "data" else name)
    elif isinstance(value, list):
        found += [text for one in value for text in personal(one, inside)]
    return found


@pytest.mark.parametrize("name", WEBHOOKS)
def test_no_recorded_webhook_shows_a_person(name: str) -> None:
    body = payload(name)
    whole = json.loads(body)
    kind = "customer" if str(whole["type"]).startswith("customer.") else ""
    shown = json.loads(masked_body(body))
    assert "@" not in masked_body(body)
    assert set(personal(shown, kind)) <= {MASK}
    assert shown["type"] == whole["type"]


def test_what_decides_about_money_stays() -> None:
    shown = json.loads(masked_body(payload("order_paid_purchase")))["data"]
    whole = json.loads(payload("order_paid_purchase"))["data"]
    kept = ("id", "customer_id", "product_id", "net_amount", "billing_reason", "metadata", "status")
    assert {name: shown[name] for name in kept} == {name: whole[name] for name in kept}
    assert shown["product"]["name"] == whole["product"]["name"]


def test_addresses_are_hidden_wherever_they_are() -> None:
    text = masked_body(b'{"type": "x", "data": {"metadata": {"note": "ask ada@example.com"}}}')
    assert "ada@" not in text
    assert "ask ..." in text


@pytest.mark.parametrize("body", [b"no JSON, from ada@example.com", b"\xff\xfe", b"[" * 100_000, b""])
def test_what_is_no_json_is_shown_as_it_is_without_addresses(body: bytes) -> None:
    assert "ada@" not in masked_body(body)
