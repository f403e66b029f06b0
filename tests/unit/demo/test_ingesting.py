"""Ingesting: which events are stored, which are duplicates, and which are refused."""

from typing import Any

import pytest

from app.demo.polar import Polar
from tests.support.polar_standin import INGEST, ask, event, ingest


def test_an_external_id_is_stored_once_whatever_else_the_event_contains(polar: Polar) -> None:
    ingest(polar, event(external_id="key"))

    answer = ingest(polar, event(external_id="key", metadata={"units": -99}))

    assert answer.json() == {"inserted": 0, "duplicates": 1}
    assert polar.events == [event(external_id="key")]


def test_duplicates_inside_one_batch_are_found(polar: Polar) -> None:
    answer = ingest(polar, event(external_id="key"), event(external_id="key"), event())

    assert answer.json() == {"inserted": 2, "duplicates": 1}


def test_one_unknown_customer_fails_the_whole_batch(polar: Polar) -> None:
    stranger = "94b037a6-bdc5-46af-b6e9-3460b2defe5d"

    answer = ingest(polar, event(external_id="key"), event(customer_id=stranger))

    assert answer.status_code == 422
    assert polar.events == []
    assert ingest(polar, event(external_id="key")).json() == {"inserted": 1, "duplicates": 0}


def test_shape_errors_hide_customer_errors(polar: Polar) -> None:
    stranger = "94b037a6-bdc5-46af-b6e9-3460b2defe5d"

    answer = ingest(polar, event(customer_id=stranger), event(metadata={"x": None})).json()

    assert answer["error"] == "RequestValidationError"
    assert {entry["loc"][2] for entry in answer["detail"]} == {1}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 128},
        {"metadata": {"x": "v" * 500}},
        {"metadata": {"k" * 40: 1}},
        {"metadata": {f"k{n}": 1 for n in range(50)}},
        {"metadata": {"x": True, "y": 1.5}},
        {"timestamp": "2020-01-01T00:00:00Z"},
        {"external_id": "k" * 2600},
    ],
)
def test_a_field_just_within_its_limits_is_stored(polar: Polar, fields: dict[str, Any]) -> None:
    assert ingest(polar, event(**fields)).json() == {"inserted": 1, "duplicates": 0}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": "n" * 129}, "string_too_long"),
        ({"metadata": {"x": "v" * 501}}, "string_too_long"),
        ({"metadata": {"x": ""}}, "string_too_short"),
        ({"metadata": {"x": {}}}, "string_type"),
        ({"metadata": {"k" * 41: 1}}, "string_too_long"),
        ({"metadata": {f"k{n}": 1 for n in range(51)}}, "too_long"),
        ({"customer_id": "2be1e608-32d5-1adb-aa15-bf61ea0cfb0b"}, "uuid_version"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, "value_error"),
    ],
)
def test_a_field_just_outside_its_limits_is_named(polar: Polar, fields: dict[str, Any], kind: str) -> None:
    answer = ingest(polar, event(**fields))

    assert answer.status_code == 422
    first = answer.json()["detail"][0]
    assert first["type"] == kind
    assert first["loc"][:4] == ["body", "events", 0, "EventCreateCustomer"]
    assert polar.events == []


@pytest.mark.parametrize("body", [[], {}, {"events": {}}, {"events": [7]}, "text", None])
def test_a_body_of_another_shape_is_refused(polar: Polar, body: Any) -> None:
    answer = ask(polar, "POST", INGEST, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"] == "RequestValidationError"


def test_the_database_refuses_the_4682nd_metered_event(polar: Polar) -> None:
    answer = ingest(polar, *[event()] * 4682)

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert polar.events == []
    assert ingest(polar, *[event()] * 4681).json() == {"inserted": 4681, "duplicates": 0}


def test_unmetered_events_have_no_such_limit(polar: Polar) -> None:
    answer = ingest(polar, *[event(name="other")] * 4682)

    assert answer.json() == {"inserted": 4682, "duplicates": 0}


def test_the_database_refuses_an_external_id_that_is_too_long(polar: Polar) -> None:
    answer = ingest(polar, event(external_id="short"), event(external_id="k" * 2601))

    assert answer.status_code == 500
    assert polar.events == []


def test_a_body_over_ten_mebibytes_is_not_read(polar: Polar) -> None:
    answer = ask(polar, "POST", INGEST, content=b" " * (10 * 1024 * 1024 + 1))

    assert answer.status_code == 413
    assert [attempt.status for attempt in polar.received] == [413]


def test_a_body_without_a_length_is_not_read(polar: Polar) -> None:
    async def chunks() -> Any:
        yield b"{}"

    assert ask(polar, "POST", INGEST, content=chunks()).status_code == 411
