"""Products, and meters of every kind, as the stand-in shows them."""

from typing import Any

import pytest

from app.demo.polar import Polar, Product
from tests.support.builders import PRODUCT, some_id
from tests.support.catalogues import ARCHIVED, COUNT, both, clause, goods
from tests.support.polar_standin import CUSTOMER, ask, event, ingest
from tests.support.recordings import recorded


@pytest.mark.parametrize("name", ["product", "product_missing"])
def test_a_recorded_request_for_a_product_gets_the_recorded_answer(polar: Polar, name: str) -> None:
    polar.add_product(**recorded("product")["body"])
    record = recorded(name)

    answer = ask(polar, "GET", record["request"]["path"])

    assert (answer.status_code, answer.json()) == (record["status"], record["body"])


def test_the_recorded_list_is_shown_newest_first_and_in_pages(polar: Polar) -> None:
    record = recorded("products")
    for number in range(14):
        polar.add_product(**goods(f"Older {number}", created_at="2026-11-20T00:00:00Z"))
    for item in reversed(record["body"]["items"]):
        polar.add_product(**item)

    answer = ask(polar, "GET", record["request"]["path"])

    assert (answer.status_code, answer.json()) == (record["status"], record["body"])


@pytest.mark.parametrize("path", ["/v1/products/", f"/v1/products/{PRODUCT}"])
@pytest.mark.parametrize(("token", "status"), [("polar_oat_other", 401), (None, 401), (Polar.token, 403)])
def test_products_require_a_scope(polar: Polar, path: str, token: str | None, status: int) -> None:
    polar.add_product(**goods())
    polar.scopes -= {"products:read"}
    assert ask(polar, "GET", path, token=token).status_code == status


def test_an_id_that_is_not_a_uuid_of_version_4_is_refused(polar: Polar) -> None:
    answer = ask(polar, "GET", "/v1/products/5e4a1f0e-6d1c-1f1e-9a3b-0c8d2f7b6a11")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "id"]


def test_prices_by_usage_and_polars_own_credits_are_shown_with_their_meter(polar: Polar) -> None:
    meter = polar.meters["api_usage"]
    polar.add_product(**goods(every="month", bills=[meter], credits_on=[meter]))

    shown = ask(polar, "GET", f"/v1/products/{PRODUCT}").json()

    assert shown["is_recurring"] is True
    assert [(price["amount_type"], price.get("meter_id")) for price in shown["prices"]] == [
        ("fixed", None),
        ("metered_unit", str(meter.id)),
    ]
    (benefit,) = shown["benefits"]
    assert (benefit["type"], benefit["properties"]["meter_id"]) == ("meter_credit", str(meter.id))


def test_a_product_is_known_by_its_id() -> None:
    polar = Polar(products=[Product(id=some_id(1)), Product(id=some_id(2))])
    assert ask(polar, "GET", f"/v1/products/{some_id(2)}").json()["id"] == some_id(2)


@pytest.mark.parametrize(
    "fields",
    [
        {"aggregation": COUNT},
        {"aggregation": {"func": "max", "property": "units"}},
        {"filter": both(clause("plan", "eq", "pro"))},
    ],
    ids=str,
)
def test_a_meter_that_does_not_sum_over_one_name_is_listed_but_counts_nothing(fields: dict[str, Any]) -> None:
    polar = Polar()
    polar.add_customer(CUSTOMER)
    polar.add_meter("api_usage", archived_at=ARCHIVED, **fields)
    ingest(polar, event())

    (shown,) = ask(polar, "GET", "/v1/meters/").json()["items"]

    assert {name: shown[name] for name in fields} == fields
    assert shown["archived_at"] == ARCHIVED
    assert polar.balance(CUSTOMER, "api_usage") == 0
    assert ask(polar, "GET", "/v1/customer-meters/").json()["items"] == []


def test_a_meter_counts_the_events_of_its_filter_whatever_its_name() -> None:
    polar = Polar()
    polar.add_customer(CUSTOMER)
    polar.add_meter("API calls", filter=both(clause("name", "eq", "api_usage")))

    ingest(polar, event())

    assert polar.balance(CUSTOMER, "API calls") == 10
