"""Collections on disk behave as those in memory."""

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.cli.failures import describe
from tests.support.builders import CUSTOMER, ORDER, grant_of
from tests.support.examples import examples
from tests.support.full_disks import no_file_can_grow
from workers.core.dry_run import Prospect
from workers.core.grants import Part
from workers.operations.backfill.scanned_orders import MissingOrder
from workers.operations.spool import Spool, SpooledList, sorted_on_disk

_keys = st.sampled_from("abcdef")


@settings(max_examples=examples(50))
@given(changes=st.lists(st.tuples(_keys, st.none() | st.integers()), max_size=30))
def test_a_spooled_mapping_is_as_a_dict(changes: list[tuple[str, int | None]]) -> None:
    spooled, plain = Spool().mapping(int), dict[str, int]()
    for key, value in changes:
        assert (key in spooled) == (key in plain)
        if value is None:
            assert spooled.pop(key, None) == plain.pop(key, None)
        else:
            spooled[key] = plain[key] = value
    assert list(spooled.items()) == list(plain.items())
    assert len(spooled) == len(plain)


@settings(max_examples=examples(50))
@given(changes=st.lists(st.tuples(_keys, st.booleans()), max_size=30))
def test_a_spooled_set_is_as_a_set(changes: list[tuple[str, bool]]) -> None:
    spooled, plain = Spool().set(), set[str]()
    for key, is_added in changes:
        assert (key in spooled) == (key in plain)
        (spooled.add if is_added else spooled.discard)(key)
        (plain.add if is_added else plain.discard)(key)
    assert (set(spooled), len(spooled)) == (plain, len(plain))


def test_a_spooled_list_keeps_the_order_of_thousands() -> None:
    spooled = Spool().list(tuple[int, str])
    for number in range(1_234):
        spooled.append((number, str(number)))
    assert list(spooled) == [(number, str(number)) for number in range(1_234)]
    assert list(reversed(spooled)) == list(spooled)[::-1]
    assert (len(spooled), (7, "7") in spooled, (7, "8") in spooled) == (1_234, True, False)


def test_a_missing_key_is_an_error() -> None:
    spooled = Spool().mapping(int)
    with pytest.raises(KeyError, match="a"):
        spooled["a"]
    with pytest.raises(KeyError, match="a"):
        del spooled["a"]


def test_a_mapping_may_be_changed_while_it_is_read() -> None:
    spooled = Spool().mapping(int)
    for number in range(1_000):
        spooled[str(number)] = number
    for key in spooled:
        del spooled[key]
    assert (len(spooled), dict(spooled)) == (0, {})


@given(packed=st.binary(), units=st.decimals(allow_nan=False, allow_infinity=False), at=st.datetimes())
def test_a_value_comes_back_as_it_was(packed: bytes, units: Decimal, at: datetime) -> None:
    grant = replace(grant_of(1), parts=(Part(rule="pack", units=units),))
    order = MissingOrder(
        order_id=ORDER,
        customer_id=CUSTOMER,
        created_at=at.replace(tzinfo=UTC),
        prospect=Prospect(text="\ud7ff\n", grants=(grant,)),
        grants=(grant,),
        packed_body=packed,
    )
    spooled = Spool().list(MissingOrder)
    spooled.append(order)
    (found,) = spooled
    assert found == order
    assert str(found.grants[0].units) == str(order.grants[0].units)


def _fill(spooled: SpooledList[str]) -> None:
    """Add more than the cache in memory holds."""
    for number in range(30_000):
        spooled.append(f"{number:01000}")


def test_where_no_file_can_be_written_all_stays_in_memory() -> None:
    with no_file_can_grow():
        spooled = Spool().list(str)
        _fill(spooled)
        assert sum(1 for _ in sorted_on_disk(spooled, str, str)) == len(spooled)


def test_a_disk_that_is_full_later_is_named_with_what_to_do() -> None:
    spooled = Spool().list(str)
    with no_file_can_grow(), pytest.raises(sqlite3.OperationalError) as raised:
        _fill(spooled)
    text = describe(raised.value)
    assert text is not None
    assert text.startswith("a temporary file cannot be written (")
    assert "make room in /var/tmp" in text


def test_values_are_sorted_on_disk_and_equal_ones_keep_their_order() -> None:
    words = ["pear", "fig", "kiwi", "apple", "date"]
    spooled = Spool().sorted_list(words, lambda word: str(len(word)), str)
    assert list(spooled) == sorted(words, key=len)
    assert len(spooled) == 5


def test_a_set_is_read_from_its_end_too() -> None:
    spooled = Spool().set()
    for key in "bcab":
        spooled.add(key)
    assert list(reversed(spooled)) == ["a", "c", "b"]
