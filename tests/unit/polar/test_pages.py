"""Reading long lists page by page: the queries, and that no row is missed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import httpx
import pytest
import respx

from tests.support.answers import recorded
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarUnreachableError,
)
from workers.polar.client import Polar
from workers.polar.lists import Listing, Page, events, orders, read_pages, webhook_attempts

SINCE = datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2)))
BEGUN = datetime(2026, 11, 21, 12, 30, 15, 250, tzinfo=UTC)
OURS = {"granted_by": "credit-granter"}

ORDERS = orders(created_after=SINCE, created_before=BEGUN)
EVENTS = events(metadata=OURS, before=BEGUN)
WEBHOOKS = webhook_attempts(
    since=SINCE, before=BEGUN, types=["order.paid", "customer.created"], only_failed=True
)

BY_CURSOR = {"items": [], "pagination": {"has_next_page": True}}  # Polar's other form of a list of events

Read = Callable[[int], Page]


def asked_for(polar: Polar, api: respx.MockRouter, listing: Listing) -> list[tuple[str, str]]:
    """Return the parameters of the request for the second page of a list."""
    route = api.get(listing.path).mock(return_value=recorded("customers_by_email"))
    polar.page(listing, 2)
    return sorted(route.calls.last.request.url.params.multi_items())


def test_orders_are_asked_for_oldest_first_and_the_refunded_ones_too(
    polar: Polar, api: respx.MockRouter
) -> None:
    assert asked_for(polar, api, ORDERS) == [
        ("created_after", "2026-11-01T00:00:00+00:00"),
        ("created_before", "2026-11-21T12:30:15.000250+00:00"),
        ("limit", "100"),
        ("page", "2"),
        ("sorting", "created_at"),
        ("status", "paid"),
        ("status", "partially_refunded"),
        ("status", "refunded"),
    ]


def test_events_are_asked_for_oldest_first_by_their_metadata(polar: Polar, api: respx.MockRouter) -> None:
    assert asked_for(polar, api, EVENTS) == [
        ("end_timestamp", "2026-11-21T12:30:15.000250+00:00"),
        ("limit", "100"),
        ("metadata[granted_by]", "credit-granter"),
        ("page", "2"),
        ("sorting", "timestamp"),
        ("source", "user"),
    ]


def test_failed_webhooks_are_asked_for_up_to_the_moment_of_beginning(
    polar: Polar, api: respx.MockRouter
) -> None:
    """Polar lists the newest first: without that bound each new failure would shift the pages."""
    assert asked_for(polar, api, WEBHOOKS) == [
        ("end_timestamp", "2026-11-21T12:30:15.000250+00:00"),
        ("event_type", "customer.created"),
        ("event_type", "order.paid"),
        ("limit", "100"),
        ("page", "2"),
        ("start_timestamp", "2026-11-01T00:00:00+00:00"),
        ("succeeded", "false"),
    ]


@pytest.mark.parametrize(
    ("name", "listing"),
    [("orders_page_1", ORDERS), ("orders_page_2", ORDERS), ("webhook_deliveries_failed", WEBHOOKS)],
)
def test_a_recorded_page_is_read_row_by_row_as_polar_shows_it(
    polar: Polar, api: respx.MockRouter, name: str, listing: Listing
) -> None:
    answer = recorded(name)
    api.get(listing.path).mock(return_value=answer)
    shown = answer.json()
    assert polar.page(listing) == Page(
        items=shown["items"],
        total=shown["pagination"]["total_count"],
        last=shown["pagination"]["max_page"],
    )


@pytest.mark.parametrize("listing", [ORDERS, EVENTS, WEBHOOKS], ids=lambda one: one.path)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (recorded("ingest_bad_token"), PolarDeniedError),
        (recorded("ingest_missing_scope"), PolarDeniedError),
        (recorded("not_found_path"), PolarDeniedError),
        (httpx.Response(429, headers={"retry-after": "60"}), PolarRateLimitedError),
        (httpx.Response(500), PolarBrokenError),
        (httpx.Response(502), PolarUnreachableError),
        (httpx.Response(200, text="<html>It works!</html>"), PolarUnreachableError),
        (httpx.Response(200, json=BY_CURSOR), PolarUnreachableError),
    ],
)
def test_a_page_that_could_not_be_read_is_an_error_of_polars(
    polar: Polar, api: respx.MockRouter, listing: Listing, answer: httpx.Response, kind: type[PolarError]
) -> None:
    api.get(listing.path).mock(return_value=answer)
    with pytest.raises(kind) as caught:
        polar.page(listing)
    assert type(caught.value) is kind


def numbered(*sizes: int) -> tuple[Read, list[int]]:
    """Return a function that reads pages of these sizes, and the list of page numbers it was given."""
    asked: list[int] = []

    def read(number: int) -> Page:
        asked.append(number)
        size = sizes[number - 1]
        return Page(items=[{"page": number}] * size, total=sum(sizes), last=len(sizes))

    return read, asked


def test_every_page_is_read_once_and_in_order() -> None:
    read, asked = numbered(2, 2, 1)
    assert [len(page.items) for page in read_pages(read)] == [2, 2, 1]
    assert asked == [1, 2, 3]


def test_a_page_is_read_no_sooner_than_it_is_asked_for() -> None:
    """However many orders there are, one page of them is in memory."""
    read, asked = numbered(*[100] * 500)
    found = read_pages(read)
    assert asked == []
    assert len(list(islice(found, 2))) == 2
    assert asked == [1, 2]


def test_a_list_without_rows_is_one_page() -> None:
    assert list(read_pages(lambda number: Page(items=[], total=0, last=0))) == [
        Page(items=[], total=0, last=0)
    ]


def test_a_list_that_ended_meanwhile_ends() -> None:
    """Whatever a server says of its pages, an empty one has none behind it."""
    read, asked = numbered(1, 0, 1)
    assert len(list(read_pages(read))) == 2
    assert asked == [1, 2]


def test_a_list_that_grew_meanwhile_is_read_to_its_new_end() -> None:
    read = [Page(items=[{}], total=1, last=1 + (number == 1)) for number in (1, 2)]
    assert len(list(read_pages(lambda number: read[number - 1]))) == 2


def test_a_page_that_could_not_be_read_can_be_asked_for_again() -> None:
    """A reader of five hundred pages continues where a rate limit interrupted it."""
    read, asked = numbered(1, 1, 1)
    refusals = [PolarRateLimitedError("Polar answered 429", retry_after_seconds=60)]

    def patiently(number: int) -> Page:
        page = read(number)
        if number == 2 and refusals:
            refusals.pop()
            return patiently(number)
        return page

    assert [page.items[0]["page"] for page in read_pages(patiently)] == [1, 2, 3]
    assert asked == [1, 2, 2, 3]
