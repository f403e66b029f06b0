"""Lists whose rows share their times are read completely, or what is missing is named."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.tied_lists import BEGIN, EVER, TiedList
from workers.polar.complete import CompleteReading
from workers.polar.lists import Listing, events, read_pages, webhook_attempts

EVENTS = events(metadata={"granted_by": "credit-granter"}, before=EVER)
WEBHOOKS = webhook_attempts(
    since=BEGIN - timedelta(days=1), before=EVER, types=["order.paid"], only_failed=True
)


def read(tied: TiedList, listing: Listing = EVENTS) -> tuple[list[str], CompleteReading]:
    """Read all of a list; return the ids in the order in which they came, and the reading."""
    reading = CompleteReading(listing, tied.page)
    return [row["id"] for rows in reading for row in rows], reading


def batches(*sizes: int) -> TiedList:
    """Return a list of batches, each of one millisecond."""
    tied = TiedList()
    for at_ms, size in enumerate(sizes):
        tied.add(size, at_ms=at_ms * 250)
    return tied


def ids_of(tied: TiedList) -> list[str]:
    return sorted(row["id"] for row in tied.rows)


def test_pages_alone_miss_the_same_rows_each_time() -> None:
    """What Polar does, and so what the list of these tests must do: else they would show nothing."""
    tied = batches(*[132] * 10)
    seen = [
        {row["id"] for page in read_pages(lambda number: tied.page(EVENTS, number)) for row in page.items}
        for _ in range(2)
    ]
    assert seen[0] == seen[1]
    assert len(seen[0]) < len(tied.rows)


def test_a_month_of_batches_is_read_whole_and_each_row_once() -> None:
    tied = batches(*[132] * 31, 109)
    found, reading = read(tied)
    assert sorted(found) == ids_of(tied)
    assert (reading.total, reading.found, reading.missing, reading.gaps) == (4201, 4201, 0, {})


@settings(max_examples=examples(20))
@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=3))
def test_batches_of_any_size_are_read_whole(sizes: list[int]) -> None:
    tied = batches(*sizes)
    found, reading = read(tied)
    assert sorted(found) == ids_of(tied)
    assert reading.missing == 0


def test_without_rows_of_one_time_each_page_is_asked_for_once() -> None:
    tied = batches(*[1] * 250)
    found, _ = read(tied)
    assert found == ids_of(tied)
    assert [number for _, number in tied.asked] == [1, 2, 3]


def test_a_list_that_polar_cannot_sort_is_cut_by_size_and_moment() -> None:
    tied = TiedList()
    tied.add(450)
    for row in tied.rows:
        row["created_at"] = row["timestamp"]
    found, reading = read(tied, WEBHOOKS)
    assert (sorted(found), reading.missing) == (ids_of(tied), 0)
    assert not any("sorting" in listing.query for listing, _ in tied.asked)


def test_no_part_of_a_list_reaches_beyond_it() -> None:
    tied = TiedList()
    tied.add(150)
    listing = events(metadata={}, before=BEGIN + timedelta(microseconds=500), since=BEGIN - timedelta(days=1))
    read(tied, listing)
    assert {listing.query["end_timestamp"] for listing, _ in tied.asked} == {listing.query["end_timestamp"]}


def test_what_polar_counts_and_never_shows_is_told_with_its_moment() -> None:
    tied = batches(50, 132, 50)
    lost = {row["id"] for row in tied.rows[60:63]}
    tied.hidden = lambda row: row["id"] in lost
    found, reading = read(tied)
    assert (len(found), reading.missing) == (229, 3)
    assert reading.gaps == {BEGIN + timedelta(milliseconds=250): 3}


def test_a_row_that_moved_between_two_pages_is_found_by_the_next_pass() -> None:
    """An event that came late stands before the place that was read, and moves those behind it."""
    tied = batches(*[1] * 250)
    late: list[dict[str, Any]] = [tied.rows.pop(10)]
    plain = tied.page

    def page(listing: Listing, number: int) -> Any:
        answer = plain(listing, number)
        tied.rows += late
        late.clear()
        return answer

    reading = CompleteReading(EVENTS, page)
    found = [row["id"] for rows in reading for row in rows]
    assert (sorted(found), reading.missing) == (ids_of(tied), 0)


@pytest.mark.parametrize("waits", [0, 1, 3])
def test_a_list_that_lags_is_read_until_its_count_is_still(waits: int) -> None:
    tied = batches(*[132] * 3)
    waited: list[int] = []

    def wait() -> None:
        waited.append(1)
        if len(waited) <= waits:
            tied.add(120, at_ms=5_000)

    found, reading = read_late(tied, wait)
    assert sorted(found) == ids_of(tied)
    assert (len(waited), reading.missing, reading.is_growing) == (waits + 1, 0, False)


def test_a_list_that_never_stops_growing_is_told_to_do_so() -> None:
    tied = batches(10)
    found, reading = read_late(tied, lambda: tied.add(1, at_ms=len(tied.rows)))
    assert sorted(found) == ids_of(tied)
    assert reading.is_growing


def read_late(tied: TiedList, wait: Callable[[], object]) -> tuple[list[str], CompleteReading]:
    reading = CompleteReading(EVENTS, tied.page, wait_for_late_rows=wait)
    return [row["id"] for rows in reading for row in rows], reading
