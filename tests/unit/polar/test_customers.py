"""Finding a customer by each of three names, and making one."""

import json
from typing import Any

import httpx
import pytest
import respx

from tests.support.answers import recorded
from tests.support.polar_standin import client_of, organization
from workers.errors import PolarDeniedError, PolarError, PolarRefusedError, PolarUnreachableError
from workers.polar.client import Polar

CUSTOMER: dict[str, Any] = recorded("customer").json()
BY_ID = f"/v1/customers/{CUSTOMER['id']}"
CUSTOMERS = "/v1/customers/"


def listing(*customers: dict[str, Any]) -> httpx.Response:
    pagination = {"total_count": len(customers), "max_page": 1}
    return httpx.Response(200, json={"items": customers, "pagination": pagination})


def test_a_customer_is_found_by_polars_id(polar: Polar, api: respx.MockRouter) -> None:
    api.get(BY_ID).mock(return_value=recorded("customer"))
    assert polar.customer(CUSTOMER["id"]) == CUSTOMER


def test_a_customer_is_found_by_the_merchants_id(polar: Polar, api: respx.MockRouter) -> None:
    api.get("/v1/customers/external/user_42").mock(return_value=recorded("customer_by_external_id"))
    assert polar.customer_by_external_id("user_42") == CUSTOMER


def test_a_customer_whom_polar_does_not_know_is_none(polar: Polar, api: respx.MockRouter) -> None:
    api.get("/v1/customers/external/nobody").mock(return_value=recorded("customer_missing"))
    api.get("/v1/customers/nobody").mock(return_value=httpx.Response(422, json={"detail": []}))
    api.get(BY_ID).mock(return_value=recorded("customer_missing"))
    assert polar.customer_by_external_id("nobody") is None
    assert polar.customer("nobody") is None
    assert polar.customer(CUSTOMER["id"]) is None


ODD = [
    "a b",
    "50%",
    "50%25",
    "auth0|5f",
    "a?b#c",
    "a&b=c",
    "a+b@example.com",
    ".",
    "..",
    "...",
    "Zoë",
    "🙂",
    "\\",
]


@pytest.mark.parametrize("external_id", ODD)
def test_any_text_but_one_with_a_slash_is_an_external_id_that_can_be_found(external_id: str) -> None:
    polar = organization()
    known = polar.add_customer(external_id=external_id)
    with client_of(polar) as client:
        found = client.customer_by_external_id(external_id)
        assert found is not None
        assert found["id"] == str(known.id)
        assert client.customer_by_external_id(external_id + "x") is None


def test_an_external_id_with_a_slash_leads_to_nobody_and_never_to_another_path() -> None:
    polar = organization()
    polar.add_customer(external_id="a/b")
    with client_of(polar) as client:
        assert client.customer_by_external_id("a/b") is None
        assert client.customer_by_external_id(f"../{CUSTOMER['id']}") is None
        assert client.customer(f"{CUSTOMER['id']}/../{CUSTOMER['id']}") is None


@pytest.mark.parametrize("body", [{}, [], None, 7, "text", {"id": None}, {"items": []}])
def test_what_is_no_customer_is_an_error_of_polars(polar: Polar, api: respx.MockRouter, body: Any) -> None:
    api.get(BY_ID).mock(return_value=httpx.Response(200, json=body))
    api.get("/v1/customers/external/user_42").mock(return_value=httpx.Response(200, json=body))
    api.post(CUSTOMERS).mock(return_value=httpx.Response(201, json=body))
    with pytest.raises(PolarUnreachableError):
        polar.create_customer(email="ada@example.com")
    with pytest.raises(PolarUnreachableError):
        polar.customer(CUSTOMER["id"])
    with pytest.raises(PolarUnreachableError):
        polar.customer_by_external_id("user_42")


def test_nobody_has_an_address_that_polar_does_not_know(polar: Polar, api: respx.MockRouter) -> None:
    route = api.get(CUSTOMERS).mock(return_value=recorded("customers_by_email"))
    assert polar.customers_by_email("nobody+1@example.com") == []
    assert route.calls.last.request.url.params["email"] == "nobody+1@example.com"
    assert b"nobody%2B1" in route.calls.last.request.url.raw_path


@pytest.mark.parametrize("asked", ["ext@example.com", "Ext@Example.COM"])
def test_an_address_is_the_same_whatever_its_case(polar: Polar, api: respx.MockRouter, asked: str) -> None:
    api.get(CUSTOMERS).mock(return_value=listing(CUSTOMER | {"email": "eXt@example.com"}))
    (found,) = polar.customers_by_email(asked)
    assert found["id"] == CUSTOMER["id"]


def test_of_a_server_that_does_not_filter_only_the_exact_address_is_taken(
    polar: Polar, api: respx.MockRouter
) -> None:
    """Credits for a stranger would be worse than none."""
    others = [CUSTOMER | {"email": email} for email in ("text@example.com", "ext@example.co", None)]
    api.get(CUSTOMERS).mock(return_value=listing(*others))
    assert polar.customers_by_email("ext@example.com") == []


def test_a_customer_is_made_with_what_is_known(polar: Polar, api: respx.MockRouter) -> None:
    route = api.post(CUSTOMERS).mock(return_value=httpx.Response(201, json=CUSTOMER))
    assert polar.create_customer(email="ext@example.com", name="Ada", external_id="user_42") == CUSTOMER
    polar.create_customer(email="ext@example.com")
    assert [json.loads(call.request.content) for call in route.calls] == [
        {"email": "ext@example.com", "name": "Ada", "external_id": "user_42"},
        {"email": "ext@example.com"},
    ]


def test_a_bad_address_is_refused_in_polars_words(polar: Polar, api: respx.MockRouter) -> None:
    api.post(CUSTOMERS).mock(return_value=recorded("customer_create_bad_email"))
    with pytest.raises(PolarRefusedError) as caught:
        polar.create_customer(email="nope")
    assert str(caught.value) == (
        "Polar answered 422: value is not a valid email address: An email address must have an @-sign."
    )


def test_what_another_customer_has_is_refused_in_polars_words() -> None:
    with client_of(organization()) as client, pytest.raises(PolarRefusedError) as caught:
        client.create_customer(email="EXT@example.com", external_id="user_42")
    assert str(caught.value) == (
        "Polar answered 422: A customer with this email address already exists.; "
        "A customer with this external ID already exists."
    )


def test_who_was_made_can_be_found_by_every_name() -> None:
    with client_of(organization()) as client:
        made = client.create_customer(email="ada@example.com", name="Ada", external_id="ada/1.0")
        assert client.customer(made["id"]) == made
        assert client.customers_by_email("ada@example.com") == [made]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (recorded("ingest_missing_scope"), PolarDeniedError),
        (httpx.Response(200, json=CUSTOMER), PolarUnreachableError),
        (httpx.Response(201, text="<html>"), PolarUnreachableError),
    ],
)
def test_only_a_201_says_that_a_customer_was_made(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response, kind: type[PolarError]
) -> None:
    api.post(CUSTOMERS).mock(return_value=answer)
    with pytest.raises(kind):
        polar.create_customer(email="ada@example.com")
