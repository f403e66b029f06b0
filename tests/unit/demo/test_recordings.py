"""The stand-in answers as Polar did, request by recorded request."""

import json
import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from app.demo.polar import Polar, WebhookDelivery
from tests.support.builders import some_id
from tests.support.polar_standin import ask, event, ingest
from tests.support.recordings import recorded

EVENT = b'{"type": "order.paid"}'


def agree(answer: httpx.Response, record: dict[str, Any]) -> None:
    """Assert that status, body and the recorded headers are the same."""
    assert answer.status_code == record["status"]
    assert answer.json() == record["body"]
    assert {name: answer.headers.get(name) for name in record["headers"]} == record["headers"]


def replayed(polar: Polar, record: dict[str, Any], **kwargs: Any) -> httpx.Response:
    """Make a recorded request."""
    request = record["request"]
    body = request["body"]
    if isinstance(body, str):
        kwargs["content"] = body
    elif body is not None:
        kwargs["json"] = body
    return ask(polar, request["method"], request["path"], **kwargs)


@pytest.mark.parametrize(
    "name",
    [
        "customer",
        "customer_by_external_id",
        "customer_create_bad_email",
        "customer_missing",
        "customers_by_email",
        "ingest_inserted",
        "ingest_not_json",
        "ingest_unknown_customer",
        "meters",
        "not_found_path",
    ],
)
def test_a_recorded_request_gets_the_recorded_answer(polar: Polar, name: str) -> None:
    record = recorded(name)

    agree(replayed(polar, record), record)


def test_bad_shapes_get_the_recorded_answer(polar: Polar) -> None:
    """All entries are the same, except that pydantic counts a UUID's characters from 0 or 1, by version."""
    record = recorded("ingest_bad_shapes")

    answer = replayed(polar, record)

    assert answer.status_code == record["status"]
    assert without_positions(answer.json()) == without_positions(record["body"])


def without_positions(body: dict[str, Any]) -> dict[str, Any]:
    """Return ``body`` without the place at which a character of a UUID is wrong."""
    text = re.sub(r"(invalid character: found `.`) at [0-9]+", r"\1", json.dumps(body))
    blurred: dict[str, Any] = json.loads(text)
    return blurred


def test_the_recorded_duplicate_is_counted_and_not_stored(polar: Polar) -> None:
    replayed(polar, recorded("ingest_inserted"))

    agree(replayed(polar, recorded("ingest_duplicate")), recorded("ingest_duplicate"))
    assert len(polar.events) == 1


@pytest.mark.parametrize(
    ("name", "token"), [("ingest_no_token", None), ("ingest_bad_token", "polar_oat_other")]
)
def test_a_request_without_a_valid_token_gets_the_recorded_answer(
    polar: Polar, name: str, token: str | None
) -> None:
    agree(replayed(polar, recorded(name), token=token), recorded(name))


def test_a_token_without_the_scope_gets_the_recorded_answer(polar: Polar) -> None:
    polar.scopes = frozenset({"events:read"})

    agree(replayed(polar, recorded("ingest_missing_scope")), recorded("ingest_missing_scope"))


def test_an_unknown_version_gets_the_recorded_answer(polar: Polar) -> None:
    record = recorded("unknown_version")

    agree(replayed(polar, record, headers={"Polar-Version": "2020-01"}), record)


@pytest.mark.parametrize("headers", [{}, {"Polar-Version": "2026-04"}, {"Polar-Version": "2026-10"}])
def test_known_versions_and_none_are_served(polar: Polar, headers: dict[str, str]) -> None:
    assert ask(polar, "GET", "/v1/meters/", headers=headers).status_code == 200


def test_balances_are_shown_in_the_recorded_form(polar: Polar) -> None:
    """All fields are as recorded, except the ids and times, which Polar generates."""
    record = recorded("customer_meters")
    ingest(polar, event(metadata={"units": -50}), event(name="image_generation", metadata={"x": 1}))

    answer = replayed(polar, record).json()

    assert without_made_up(answer["items"]) == without_made_up(record["body"]["items"])
    assert answer["pagination"] == record["body"]["pagination"]
    assert answer["items"][0].keys() == record["body"]["items"][0].keys()


@pytest.mark.parametrize("name", ["orders_page_1", "orders_page_2", "orders_limit_too_large"])
def test_recorded_pages_of_orders_get_the_recorded_answer(polar: Polar, name: str) -> None:
    for item in recorded("orders_limit_too_large")["body"]["items"]:
        polar.add_order(**item)

    agree(replayed(polar, recorded(name)), recorded(name))


@pytest.mark.parametrize("name", ["webhook_deliveries", "webhook_deliveries_failed"])
def test_recorded_attempts_to_deliver_get_the_recorded_answer(polar: Polar, name: str) -> None:
    """Of the older ones there is just the number in the recordings."""
    failed, all_of_them = 49, 161
    for item in recorded(name)["body"]["items"]:
        polar.deliveries.append(WebhookDelivery.model_validate(item))
    for number in range(all_of_them - len(polar.deliveries)):
        succeeded = number >= failed - len(recorded(name)["body"]["items"])
        polar.add_delivery(some_id(number), EVENT, succeeded=succeeded, created_at="2026-11-20T00:00:00Z")

    agree(replayed(polar, recorded(name)), recorded(name))


def test_recorded_endpoints_get_the_recorded_answer(polar: Polar) -> None:
    for item in recorded("webhook_endpoints")["body"]["items"]:
        polar.add_endpoint(**item)

    agree(replayed(polar, recorded("webhook_endpoints")), recorded("webhook_endpoints"))


def test_recorded_subscriptions_get_the_recorded_answer(polar: Polar) -> None:
    """Of the older ones there is just the number in the recording."""
    record = recorded("subscriptions")
    newest, *_ = items = record["body"]["items"]
    for item in items:
        polar.add_subscription(**item)
    for number in range(record["body"]["pagination"]["total_count"] - len(items)):
        older = {"id": some_id(number), "started_at": "2026-11-01T00:00:00Z"}
        polar.add_subscription(**{**newest, **older})

    agree(replayed(polar, record), record)


def without_made_up(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``rows`` by meter, without what differs from one server to the next."""
    made_up = {"id", "created_at", "modified_at"}
    kept = [{k: v for k, v in row.items() if k not in made_up} for row in rows]
    return sorted(kept, key=lambda row: str(row["meter"]["name"]))
