"""The samples are recorded webhooks with present times."""

import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from config.rules import Trigger
from config.samples import SAMPLES, make_sample
from tests.support.builders import some_id
from tests.support.recordings import payload
from workers.core.envelope import STORED_TYPES, peek_type
from workers.core.facts import fact_of

ALL = sorted(SAMPLES)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def read(name: str, *, product: str | None = None, customer: str | None = None) -> Any:
    return json.loads(make_sample(name, product=product, customer=customer))


def moments(text: str) -> list[datetime]:
    return [datetime.fromisoformat(found) for found in MOMENT.findall(text)]


@pytest.mark.parametrize("name", ALL)
def test_a_sample_is_a_webhook_that_polar_sent(name: str) -> None:
    assert (files("config.samples") / f"{SAMPLES[name]}.json").read_bytes() == payload(SAMPLES[name])


@pytest.mark.parametrize("name", ALL)
def test_a_sample_keeps_its_form_and_happens_now(name: str) -> None:
    before, body = datetime.now(UTC), read(name)
    original = json.loads(payload(SAMPLES[name]))
    assert body["type"] == original["type"]
    assert body["data"].keys() == original["data"].keys()
    assert before <= datetime.fromisoformat(body["timestamp"]) <= datetime.now(UTC)


@pytest.mark.parametrize("name", ALL)
def test_all_times_of_a_sample_are_moved_alike(name: str) -> None:
    then, now = moments(payload(SAMPLES[name]).decode()), moments(make_sample(name).decode())
    shifts = {late - early for early, late in zip(then, now, strict=True)}
    assert max(shifts) - min(shifts) < timedelta(milliseconds=1)


@pytest.mark.parametrize("name", ALL)
def test_each_sample_is_another_event(name: str) -> None:
    first, second = read(name)["data"], read(name)["data"]
    assert first["id"] != second["id"]
    if first.get("subscription"):
        assert first["subscription"]["id"] == first["subscription_id"] != second["subscription_id"]


@pytest.mark.parametrize(
    ("name", "trigger"), [*((str(each), each) for each in Trigger), ("final_invoice", None)]
)
def test_a_sample_is_to_the_rules_what_it_is_called(name: str, trigger: Trigger | None) -> None:
    body = make_sample(name)
    fact = fact_of(peek_type(body) or "", body)
    assert fact is not None
    assert fact.trigger is trigger


@pytest.mark.parametrize("name", [name for name in ALL if "." in name])
def test_a_sample_named_like_a_type_is_of_that_type(name: str) -> None:
    assert peek_type(make_sample(name)) == name


def test_there_is_a_sample_of_every_type_that_is_stored() -> None:
    assert {peek_type(make_sample(name)) for name in ALL} >= STORED_TYPES


@pytest.mark.parametrize("name", [name for name in ALL if "customer" not in name])
def test_product_and_customer_can_be_chosen(name: str) -> None:
    data = read(name, product=some_id(1), customer=some_id(2))["data"]
    assert (data["product_id"], data["customer_id"]) == (some_id(1), some_id(2))
    assert data["customer"]["id"] == some_id(2)
    if data.get("product"):
        assert data["product"]["id"] == some_id(1)


def test_a_customers_own_sample_can_be_of_any_customer() -> None:
    assert read("customer.created", customer=some_id(2))["data"]["id"] == some_id(2)


def test_without_a_choice_product_and_customer_are_the_recorded_ones() -> None:
    data, original = read("purchase")["data"], json.loads(payload(SAMPLES["purchase"]))["data"]
    assert (data["product_id"], data["customer_id"]) == (original["product_id"], original["customer_id"])
