"""How the stand-in lists events."""

from typing import Any

import pytest

from app.demo.polar import Polar
from tests.support.polar_standin import CUSTOMER, ask, event, ingest


def test_events_are_listed_without_their_external_id(polar: Polar) -> None:
    ours = {"units": -10, "granted_by": "credit-granter"}
    ingest(
        polar, event(external_id="a", metadata=ours), event(name="image_generation", metadata=ours), event()
    )

    answer = ask(
        polar,
        "GET",
        "/v1/events/",
        params={"metadata[granted_by]": "credit-granter", "name": "api_usage", "customer_id": CUSTOMER},
    ).json()

    assert answer["pagination"] == {"total_count": 1, "max_page": 1}
    (shown,) = answer["items"]
    assert shown["metadata"] == ours
    assert shown["customer"]["id"] == shown["customer_id"] == CUSTOMER
    assert "external_id" not in shown


def test_events_of_an_unknown_customer_are_listed_without_one(polar: Polar) -> None:
    ingest(polar, event(customer_id=None, external_customer_id="nobody"))

    (shown,) = ask(polar, "GET", "/v1/events/").json()["items"]

    assert (shown["customer"], shown["external_customer_id"]) == (None, "nobody")


def test_lists_come_in_pages_of_a_hundred_at_most(polar: Polar) -> None:
    ingest(polar, *[event(metadata={"n": n}) for n in range(101)])

    first = ask(polar, "GET", "/v1/events/", params={"limit": 1000}).json()
    second = ask(polar, "GET", "/v1/events/", params={"limit": 1000, "page": 2}).json()

    assert first["pagination"] == {"total_count": 101, "max_page": 2}
    assert [item["metadata"]["n"] for item in first["items"] + second["items"]] == list(range(100, -1, -1))
    assert ask(polar, "GET", "/v1/events/", params={"page": 0}).status_code == 422


YEARS = [{"timestamp": f"{year}-01-01T00:00:00Z", "metadata": {"year": year}} for year in (2021, 2020, 2022)]


@pytest.mark.parametrize(
    ("asked", "years"),
    [
        ({}, [2022, 2021, 2020]),
        ({"sorting": "-timestamp"}, [2022, 2021, 2020]),
        ({"sorting": "timestamp"}, [2020, 2021, 2022]),
        ({"start_timestamp": "2021-01-01T00:00:00Z"}, [2022]),
        ({"end_timestamp": "2022-01-01T00:00:00Z"}, [2021, 2020]),
        ({"source": "user"}, [2022, 2021, 2020]),
        ({"source": "system"}, []),
        ({"metadata[year]": "2020"}, [2020]),
        ({"metadata[year]": ["2020", "2022"]}, [2022, 2020]),
        ({"metadata[year]": "2020", "metadata[month]": "1"}, []),
        ({"name": ["api_usage", "other"]}, [2022, 2021, 2020]),
    ],
    ids=str,
)
def test_events_are_filtered_by_time_and_content(
    polar: Polar, asked: dict[str, Any], years: list[int]
) -> None:
    ingest(polar, *(event(**fields) for fields in YEARS))

    rows = ask(polar, "GET", "/v1/events/", params=asked).json()["items"]

    assert [row["metadata"]["year"] for row in rows] == years


def test_metadata_is_compared_as_json_text(polar: Polar) -> None:
    ingest(polar, event(metadata={"trial": True, "units": -1.5}))

    def count(**params: str) -> int:
        total: int = ask(polar, "GET", "/v1/events/", params=params).json()["pagination"]["total_count"]
        return total

    assert count(**{"metadata[trial]": "true", "metadata[units]": "-1.5"}) == 1
    assert count(**{"metadata[trial]": "True"}) == 0
