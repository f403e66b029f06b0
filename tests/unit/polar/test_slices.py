"""A long list is read completely slice by slice, or what is missing is counted and bounded."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.builders import some_id
from tests.support.examples import examples
from tests.support.tied_lists import BEGIN, EVER, TiedList
from workers.polar.lists import Listing, Page, events, orders
from workers.polar.slices import SlicedReading

ORDERS = orders(created_after=BEGIN - timedelta(days=1), created_before=EVER)
TWO_DAYS = events(metadata={}, since=BEGIN - timedelta(days=1), before=BEGIN + timedelta(days=1))
BOUNDS = {name: ORDERS.query[name] for name in ORDERS.bounds}
MINUTE_MS = 60_000
_SECOND_PASS = 97  # rows in a page


def tied_orders(*sizes: int) -> TiedList:
    """Return a list in which so many orders were created in each minute, at once."""
    tied = TiedList()
    for minute, size in enumerate(sizes):
        tied.add(size, at_ms=minute * MINUTE_MS)
    for row in tied.rows:
        row["created_at"] = row["timestamp"]
    return tied


def read(tied: TiedList, most_rows: int = 1000) -> tuple[list[str], SlicedReading]:
    """Read all of a list; return the ids in the order in which they came, and the reading."""
    reading = SlicedReading(ORDERS, tied.page, most_rows=most_rows)
    return [row["id"] for rows in reading for row in rows], reading


def ids_of(tied: TiedList) -> list[str]:
    return sorted(row["id"] for row in tied.rows)


def test_a_short_list_takes_one_request_more_than_it_has_pages() -> None:
    tied = tied_orders(*[1] * 250)
    found, reading = read(tied)
    assert found == ids_of(tied)
    assert [(listing.per_page, number) for listing, number in tied.asked] == [
        (1, 1),
        (100, 1),
        (100, 2),
        (100, 3),
    ]
    assert (reading.total, reading.found, reading.missing) == (250, 250, 0)


def test_an_empty_list_takes_one_request() -> None:
    tied = tied_orders()
    assert read(tied)[0] == []
    assert len(tied.asked) == 1


def test_a_long_list_is_read_in_the_order_of_time_and_each_row_once() -> None:
    tied = tied_orders(*[1] * 1_000)
    found, reading = read(tied, most_rows=150)
    assert found == ids_of(tied)
    assert (reading.total, reading.found, reading.missing) == (1_000, 1_000, 0)


@settings(max_examples=examples(30))
@given(sizes=st.lists(st.integers(0, 250), min_size=1, max_size=6), most_rows=st.integers(1, 600))
def test_orders_of_one_moment_are_all_found(sizes: list[int], most_rows: int) -> None:
    tied = tied_orders(*sizes)
    found, reading = read(tied, most_rows)
    assert sorted(found) == ids_of(tied)
    assert reading.missing == 0


def test_orders_that_are_not_listed_are_counted_and_bounded() -> None:
    tied = tied_orders(*[1] * 300, 150, *[1] * 300)
    hidden = tied.rows[310]  # one of those of one moment

    def is_hidden(row: dict[str, Any]) -> bool:
        return bool(row["id"] == hidden["id"])

    tied.hidden = is_hidden
    found, reading = read(tied, most_rows=200)
    assert (reading.missing, len(found)) == (1, len(tied.rows) - 1)
    assert min(reading.missing_around) <= BEGIN + timedelta(minutes=300) <= max(reading.missing_around)


def test_where_the_moment_is_not_known_the_slice_bounds_it() -> None:
    tied = tied_orders(*[1] * 300)
    tied.hidden = lambda row: bool(row["id"] == tied.rows[7]["id"])
    _, reading = read(tied, most_rows=100)
    assert reading.missing == 1
    assert min(reading.missing_around) < BEGIN + timedelta(minutes=7) < max(reading.missing_around)


def test_a_server_that_does_not_know_the_bounds_is_read_as_one_slice() -> None:
    tied = tied_orders(*[1] * 300)

    def page(listing: Listing, number: int) -> Page:
        return tied.page(replace(listing, query={**listing.query, **BOUNDS}), number)

    reading = SlicedReading(ORDERS, page, most_rows=100)
    assert sorted(row["id"] for rows in reading for row in rows) == ids_of(tied)
    assert len(tied.asked) == 1 + 2 + 3


def test_each_row_comes_once_with_those_that_appear_late_or_stand_at_a_bound() -> None:
    tied = TiedList()
    for second in range(60):
        tied.add(5, at_ms=second * 1000)
    late, seen = [(3, 59_000), (2, 70_000)], set[str]()

    def wait() -> None:
        if late:
            count, at_ms = late.pop(0)
            tied.add(count, at_ms=at_ms)

    reading = SlicedReading(TWO_DAYS, tied.page, most_rows=20, seen=seen, wait_for_late_rows=wait)
    found = [row["id"] for rows in reading for row in rows]
    assert sorted(found) == sorted(row["id"] for row in tied.rows)
    assert (reading.total, reading.found, reading.missing, reading.gaps) == (305, 305, 0, {})
    assert not reading.is_growing
    assert seen == set(found)


def test_rows_that_never_stop_coming_are_told() -> None:
    tied = TiedList()
    tied.add(30)
    reading = SlicedReading(
        TWO_DAYS, tied.page, most_rows=20, seen=set(), wait_for_late_rows=lambda: tied.add(1, at_ms=5_000)
    )
    assert sum(len(rows) for rows in reading) == 35
    assert reading.is_growing


def test_a_gap_that_a_later_pass_has_closed_is_none() -> None:
    tied = TiedList()
    tied.add(150)
    tied.hidden = lambda row: row["id"] == some_id(7) and tied.asked[-1][0].per_page != _SECOND_PASS
    in_vain = TiedList(rows=tied.rows, hidden=lambda row: bool(row["id"] == some_id(7)))

    def page(listing: Listing, number: int) -> Page:
        first, last = listing.span
        return (tied if last - first > timedelta(seconds=1) else in_vain).page(listing, number)

    reading = SlicedReading(TWO_DAYS, page, seen=set(), wait_for_late_rows=lambda: None)
    assert sum(len(rows) for rows in reading) == 150
    assert (reading.missing, reading.gaps) == (0, {})
