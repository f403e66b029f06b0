"""Which events count towards whose balance."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.demo.polar import Polar
from tests.support.polar_standin import CUSTOMER, ask, event, ingest


def test_a_customer_without_events_has_no_balances(polar: Polar) -> None:
    assert ask(polar, "GET", f"/v1/customer-meters/?customer_id={CUSTOMER}").json()["items"] == []


def test_negative_units_are_credits_left(polar: Polar) -> None:
    ingest(polar, event(metadata={"units": -10}), event(metadata={"units": 3}))

    assert polar.balance(CUSTOMER, "api_usage") == Decimal(7)


def test_decimals_add_up_as_binary_floats(polar: Polar) -> None:
    """What was sent is exact; what Polar shows of it is not."""
    ingest(polar, *[event(metadata={"units": -0.1})] * 3)

    assert polar.balance(CUSTOMER, "api_usage") == Decimal("0.3")
    assert balances(polar) == {"api_usage": 0.30000000000000004}


def test_what_was_taken_back_in_parts_can_leave_a_trace(polar: Polar) -> None:
    ingest(polar, *[event(metadata={"units": units}) for units in (-80.04, 26.68, 26.68, 26.68)])

    assert polar.balance(CUSTOMER, "api_usage") == 0
    assert balances(polar) == {"api_usage": pytest.approx(0, abs=1e-13)}
    assert balances(polar) != {"api_usage": 0}


def balances(polar: Polar) -> dict[str, float]:
    """Return the balances that the API shows, by meter."""
    rows = ask(polar, "GET", "/v1/customer-meters/", params={"customer_id": CUSTOMER}).json()
    return {row["meter"]["name"]: row["balance"] for row in rows["items"]}


@pytest.mark.parametrize("metadata", [{"units": "-10"}, {"units": True}, {"other": -10}, {}])
def test_units_that_are_not_numbers_are_stored_but_not_counted(
    polar: Polar, metadata: dict[str, Any]
) -> None:
    assert ingest(polar, event(metadata=metadata)).json() == {"inserted": 1, "duplicates": 0}
    assert polar.balance(CUSTOMER, "api_usage") == 0


def test_a_meter_may_sum_another_property() -> None:
    polar = Polar()
    polar.add_customer(CUSTOMER)
    polar.add_meter("seconds", "length")

    ingest(polar, event(name="seconds", metadata={"length": -60, "units": -1}))

    assert polar.balance(CUSTOMER, "seconds") == 60


def test_events_of_an_external_customer_count_once_the_customer_exists(polar: Polar) -> None:
    ingest(polar, event(customer_id=None, external_customer_id="user_43"))

    made = ask(polar, "POST", "/v1/customers/", json={"email": "b@example.com", "external_id": "user_43"})

    assert made.status_code == 201
    assert polar.balance(made.json()["id"], "api_usage") == 10


@pytest.mark.parametrize("fields", [{}, {"timestamp": "2020-01-01T00:00:00Z"}])
def test_of_two_customer_ids_only_the_external_one_is_kept(polar: Polar, fields: dict[str, Any]) -> None:
    ingest(polar, event(external_customer_id="somebody", **fields))

    assert polar.events[0].get("external_customer_id") == "somebody"
    assert "customer_id" not in polar.events[0]
    assert polar.balance(CUSTOMER, "api_usage") == 0


YEAR = {
    "interval": "year",
    "start_timestamp": "2024-06-01T00:00:00Z",
    "end_timestamp": "2026-06-01T00:00:00Z",
}


def quantities(polar: Polar, **fields: str) -> httpx.Response:
    """Ask for the sums of the meter ``api_usage``."""
    meter = polar.meters["api_usage"].id
    return ask(polar, "GET", f"/v1/meters/{meter}/quantities", params={**YEAR, **fields})


def test_quantities_are_summed_by_year_and_in_all(polar: Polar) -> None:
    polar.list_lag = 60  # they do not lag
    other = str(polar.add_customer().id)
    ingest(
        polar,
        event(metadata={"units": -0.1}, timestamp="2024-06-02T00:00:00Z"),
        event(metadata={"units": -0.2}, timestamp="2026-01-01T00:00:00Z"),
        event(timestamp="2026-07-01T00:00:00Z"),
        event(timestamp="2026-01-01T00:00:00Z", customer_id=other),
    )

    assert quantities(polar, customer_id=CUSTOMER).json() == {
        "quantities": [
            {"timestamp": "2024-01-01T00:00:00Z", "quantity": -0.1},
            {"timestamp": "2025-01-01T00:00:00Z", "quantity": 0},
            {"timestamp": "2026-01-01T00:00:00Z", "quantity": -0.2},
        ],
        "total": pytest.approx(-0.3),
    }
    assert quantities(polar).json()["total"] == pytest.approx(-10.3)


def test_quantities_begin_in_2023_and_need_a_meter(polar: Polar) -> None:
    assert quantities(polar, start_timestamp="2022-12-31T23:59:59Z").status_code == 422
    assert ask(polar, "GET", f"/v1/meters/{CUSTOMER}/quantities", params=YEAR).status_code == 404
