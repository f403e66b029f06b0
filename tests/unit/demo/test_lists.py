"""How the stand-in lists events."""

from typing import Any

import pytest

from app.demo.polar import Polar
from tests.support.builders import some_id
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
    ingest(polar, *[event(metadata={"n": n}, timestamp=second(n)) for n in range(101)])

    pages = [ask(polar, "GET", "/v1/events/", params={"limit": 1000, "page": n}).json() for n in (1, 2, 3)]

    assert [page["pagination"] for page in pages[:2]] == [{"total_count": 101, "max_page": 2}] * 2
    assert pages[2] == {"items": [], "pagination": {"total_count": 0, "max_page": 0}}
    assert [item["metadata"]["n"] for page in pages for item in page["items"]] == list(range(100, -1, -1))
    assert ask(polar, "GET", "/v1/events/", params={"page": 0}).status_code == 422


def second(n: int) -> str:
    """Return a moment of its own for each number."""
    return f"2026-11-20T12:{n // 60:02}:{n % 60:02}Z"


def read_all(polar: Polar, path: str = "/v1/events/", **params: Any) -> list[str]:
    """Return the ids of the rows on all pages, as they come."""
    first = ask(polar, "GET", path, params=params).json()
    others = [
        ask(polar, "GET", path, params={**params, "page": page}).json()
        for page in range(2, first["pagination"]["max_page"] + 1)
    ]
    return [item["id"] for page in (first, *others) for item in page["items"]]


def test_pages_over_one_millisecond_repeat_some_events_and_miss_others(polar: Polar) -> None:
    """The same ones each time; another order, page size or customer shows others."""
    ingest(polar, *[event(timestamp=f"2026-11-20T12:00:00.0010{n:02}Z") for n in range(40)])
    everything = {str(stored.id) for stored in polar.stored}

    pages = read_all(polar, limit=15)

    assert len(pages) == 40
    assert set(pages) < everything
    assert read_all(polar, limit=15) == pages
    assert len({frozenset(read_all(polar, limit=15, **one)) for one in OTHER_REQUESTS}) == len(OTHER_REQUESTS)
    assert set(read_all(polar, limit=40)) == everything
    assert set(pages).union(*(read_all(polar, limit=size) for size in range(8, 15))) == everything


OTHER_REQUESTS: tuple[dict[str, str], ...] = ({}, {"sorting": "timestamp"}, {"customer_id": CUSTOMER})


def test_orders_of_one_moment_are_missed_too(polar: Polar) -> None:
    moment = {"created_at": "2026-11-20T12:00:00Z", "status": "paid", "customer_id": CUSTOMER}
    for n in range(30):
        polar.add_order(id=some_id(n), **moment)

    pages = read_all(polar, "/v1/orders/")

    assert len(pages) == 30
    assert len(set(pages)) < 30


def test_the_list_of_events_may_lag(polar: Polar) -> None:
    now = 100.0
    polar.clock, polar.list_lag = (lambda: now), 5
    ingest(polar, event())

    assert read_all(polar) == []
    assert polar.balance(CUSTOMER, "api_usage") == 10
    now += 5
    assert len(read_all(polar)) == 1


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
