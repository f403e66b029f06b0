"""Batches: everything comes once and in order, and no more is read than is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from workers.core.batches import in_batches


@given(st.lists(st.integers()), st.integers(1, 7))
def test_everything_comes_once_in_order_and_only_the_last_batch_is_short(items: list[int], most: int) -> None:
    found = list(in_batches(items, most))
    assert [one for some in found for one in some] == items
    assert all(len(some) == most for some in found[:-1])
    assert all(0 < len(some) <= most for some in found)


def test_no_more_is_read_than_the_batch_that_is_asked_for() -> None:
    items = iter(range(10))
    assert next(in_batches(items, 3)) == [0, 1, 2]
    assert next(items) == 3
