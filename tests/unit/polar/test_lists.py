"""Reading lists and single things: in pages, within bounds."""

import json
from typing import Any

import httpx
import pytest
import respx

from tests.support.answers import INGEST, TOKEN, recorded
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarUnreachableError,
)
from workers.polar.catalogue import PolarMeter, PolarProduct, parse_items
from workers.polar.client import Polar

PRODUCT = "/v1/products/f3d8007d-1d09-44a2-8b6c-7593294be9c5"


def page(request: httpx.Request, total: int) -> httpx.Response:
    """Answer as Polar does: the rows 1 to ``total`` in pages."""
    number, size = int(request.url.params["page"]), int(request.url.params["limit"])
    items = rows(total)[(number - 1) * size : number * size]
    return listing(items, total=total, last=-(-total // size))


def rows(total: int) -> list[dict[str, int]]:
    return [{"number": number} for number in range(1, total + 1)]


def listing(items: Any, *, total: Any, last: Any) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "pagination": {"total_count": total, "max_page": last}})


@pytest.mark.parametrize(("total", "requests"), [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10)])
def test_a_list_is_read_to_its_end_a_hundred_at_a_time(
    polar: Polar, api: respx.MockRouter, total: int, requests: int
) -> None:
    route = api.get("/v1/meters/").mock(side_effect=lambda request: page(request, total))
    assert polar.read_list("/v1/meters/") == (rows(total), 0)
    assert route.call_count == requests
    assert {call.request.url.params["limit"] for call in route.calls} == {"100"}


def test_of_a_longer_list_the_first_thousand_are_read_and_the_rest_counted(
    polar: Polar, api: respx.MockRouter
) -> None:
    route = api.get("/v1/products/").mock(side_effect=lambda request: page(request, 1234))
    items, unread = polar.read_list("/v1/products/")
    assert (len(items), unread) == (1000, 234)
    assert route.call_count == 10


def test_recorded_meters_and_products_can_be_read(polar: Polar, api: respx.MockRouter) -> None:
    api.get("/v1/meters/").mock(return_value=recorded("meters"))
    api.get(PRODUCT).mock(return_value=recorded("product"))
    meters = parse_items(PolarMeter, polar.read_list("/v1/meters/")[0])
    (product,) = parse_items(PolarProduct, [polar.find(PRODUCT)])
    assert [(one.name, one.aggregation.property) for one in meters] == [
        ("api_usage", "units"),
        ("image_generation", "units"),
    ]
    assert (product.name, product.is_recurring, product.is_archived) == ("Pro monthly", True, False)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json=None),
        httpx.Response(200, json={"items": []}),
        httpx.Response(200, text="<html>It works!</html>"),
        listing(None, total=1, last=1),
        listing({}, total=1, last=1),
        listing([], total="many", last=1),
        listing([], total=1, last=None),
        listing([7], total=1, last=1),
        listing([{}, None], total=2, last=1),
    ],
)
def test_an_answer_that_is_no_list_is_an_error_of_polars(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response
) -> None:
    api.get("/v1/meters/").mock(return_value=answer)
    with pytest.raises(PolarUnreachableError):
        polar.read_list("/v1/meters/")


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        {},
        {"id": "x", "name": "n", "filter": {"conjunction": "and"}, "aggregation": {"func": "sum"}},
        {"id": "x", "name": None, "filter": {"conjunction": "and", "clauses": []}, "aggregation": {}},
    ],
)
def test_an_item_of_another_form_is_an_error_of_polars_that_names_the_place(item: Any) -> None:
    with pytest.raises(PolarUnreachableError, match=r"cannot be read: .+: "):
        parse_items(PolarMeter, [item])


def test_what_polar_may_add_some_day_is_normal() -> None:
    answer = recorded("meters").json()["items"][0]
    clause = {"property": "name", "operator": "between", "value": 1.5, "unit": "percent"}
    answer["filter"] = {"conjunction": "xor", "clauses": [clause], "version": 2}
    answer["aggregation"] = {"func": "median", "property": "units"}
    (found,) = parse_items(PolarMeter, [answer | {"colour": "red"}])
    assert [str(one) for one in found.filter.leaves()] == ["name between 1.5"]


@pytest.mark.parametrize("answer", [recorded("product_missing"), httpx.Response(422, json={"detail": []})])
def test_what_is_not_there_is_none(polar: Polar, api: respx.MockRouter, answer: httpx.Response) -> None:
    """Polar answers 422 for an id that is no UUID of version 4."""
    api.get(PRODUCT).mock(return_value=answer)
    assert polar.find(PRODUCT) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (recorded("benefits"), PolarDeniedError),
        (recorded("ingest_bad_token"), PolarDeniedError),
        (httpx.Response(500), PolarBrokenError),
        (httpx.Response(429), PolarRateLimitedError),
    ],
)
def test_what_could_not_be_asked_is_no_answer(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response, kind: type[PolarError]
) -> None:
    api.get(PRODUCT).mock(return_value=answer)
    with pytest.raises(kind):
        polar.find(PRODUCT)


def test_the_token_is_tried_without_an_event(polar: Polar, api: respx.MockRouter) -> None:
    route = api.post(INGEST).mock(return_value=httpx.Response(200, json={"inserted": 0, "duplicates": 0}))
    polar.check_token()
    assert json.loads(route.calls.last.request.content) == {"events": []}


def test_a_server_that_minds_an_empty_batch_has_let_the_token_pass(
    polar: Polar, api: respx.MockRouter
) -> None:
    api.post(INGEST).mock(return_value=httpx.Response(422, json={"detail": []}))
    polar.check_token()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ingest_bad_token", 401),
        ("ingest_no_token", 401),
        ("ingest_missing_scope", 403),
        ("unknown_version", 404),
    ],
)
def test_a_refusal_tells_by_its_status_what_is_refused(
    polar: Polar, api: respx.MockRouter, name: str, status: int
) -> None:
    api.post(INGEST).mock(return_value=recorded(name))
    with pytest.raises(PolarDeniedError) as caught:
        polar.check_token()
    assert caught.value.status == status
    assert TOKEN not in str(caught.value)


def test_an_empty_batch_that_is_not_confirmed_says_nothing_of_the_token(
    polar: Polar, api: respx.MockRouter
) -> None:
    api.post(INGEST).mock(return_value=httpx.Response(200, text="<html>It works!</html>"))
    with pytest.raises(PolarUnreachableError):
        polar.check_token()
