"""The stand-in's customers: how they are found, and which cannot be created."""

from typing import Any

import pytest

from app.demo.polar import Polar
from tests.support.builders import some_id
from tests.support.polar_standin import CUSTOMER, ask, event, ingest

CUSTOMERS = "/v1/customers/"


def found(polar: Polar, **params: Any) -> list[str]:
    """Return the external ids of the customers that are listed."""
    return [row["external_id"] for row in ask(polar, "GET", CUSTOMERS, params=params).json()["items"]]


def test_customers_are_listed_newest_first(polar: Polar) -> None:
    polar.add_customer(external_id="newer", created_at="2030-01-01T00:00:00Z")
    polar.add_customer(external_id="older", created_at="2020-01-01T00:00:00Z")
    assert found(polar) == ["newer", "user_42", "older"]


@pytest.mark.parametrize(
    ("email", "ids"),
    [("ext@example.com", ["user_42"]), ("EXT@Example.com", ["user_42"]), ("xt@example.com", []), ("", [])],
)
def test_an_email_address_matches_as_a_whole_in_any_case(polar: Polar, email: str, ids: list[str]) -> None:
    assert found(polar, email=email) == ids


@pytest.mark.parametrize(("path", "status"), [(some_id(1), 404), ("nobody", 422), ("external/nobody", 404)])
def test_an_unknown_customer_is_not_found(polar: Polar, path: str, status: int) -> None:
    assert ask(polar, "GET", f"{CUSTOMERS}{path}").status_code == status


def test_a_customer_without_an_external_id_is_not_found_by_none(polar: Polar) -> None:
    polar.add_customer()
    assert ask(polar, "GET", f"{CUSTOMERS}external/None").status_code == 404


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"email": "ext@example.com"}, ["email"]),
        ({"email": "Ext@Example.Com"}, ["email"]),
        ({"email": "b@example.com", "external_id": "user_42"}, ["external_id"]),
        ({"email": "ext@example.com", "external_id": "user_42"}, ["email", "external_id"]),
    ],
    ids=str,
)
def test_a_customer_with_the_email_or_external_id_of_another_is_refused(
    polar: Polar, body: dict[str, Any], places: list[str]
) -> None:
    answer = ask(polar, "POST", CUSTOMERS, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"] == "PolarRequestValidationError"
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["body", place] for place in places]
    assert len(polar.customers) == 1


def test_a_created_customer_has_the_same_fields_as_others(polar: Polar) -> None:
    made = ask(polar, "POST", CUSTOMERS, json={"email": "b@example.com", "name": "B"})
    assert made.status_code == 201
    assert made.json().keys() == ask(polar, "GET", f"{CUSTOMERS}{CUSTOMER}").json().keys()
    assert (made.json()["name"], made.json()["external_id"]) == ("B", None)


def test_earlier_events_belong_to_a_customer_once_it_exists(polar: Polar) -> None:
    assert ingest(polar, event(customer_id=None, external_customer_id="user_43")).status_code == 200
    made = ask(polar, "POST", CUSTOMERS, json={"email": "b@example.com", "external_id": "user_43"}).json()

    (shown,) = ask(polar, "GET", "/v1/events/", params={"customer_id": made["id"]}).json()["items"]

    assert (shown["customer_id"], shown["external_customer_id"]) == (made["id"], "user_43")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CUSTOMERS),
        ("GET", f"{CUSTOMERS}{CUSTOMER}"),
        ("GET", f"{CUSTOMERS}external/user_42"),
        ("POST", CUSTOMERS),
    ],
)
def test_customers_require_a_scope(polar: Polar, method: str, path: str) -> None:
    polar.scopes -= {"customers:read", "customers:write"}
    assert ask(polar, method, path, json={"email": "b@example.com"}).status_code == 403
