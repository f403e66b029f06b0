"""The filters of the list of deliveries read what people type, and refuse the rest with a sentence."""

from datetime import UTC, datetime

import pytest

from app.desk.errors import DeskError
from app.desk.filters import read_filters, read_place
from tests.support.builders import ORDER
from workers.core.delivery import Delivery, Status
from workers.store.deliveries import Place


def delivery(**fields: object) -> Delivery:
    usual: dict[str, object] = {
        "id": "msg-1",
        "type": "order.paid",
        "status": Status.FAILED,
        "reason": "",
        "received_at": datetime(2026, 11, 29, 14, 0, tzinfo=UTC),
        "settled_at": None,
        "attempts": 1,
        "subject": None,
        "order_id": None,
        "customer_id": None,
    }
    return Delivery(**(usual | fields))  # type: ignore[arg-type]  # the fields are those of a delivery


@pytest.mark.parametrize(
    ("fields", "is_wanted"),
    [
        ({}, True),
        ({"status": "failed"}, True),
        ({"status": "granted"}, False),
        ({"type": "order.paid"}, True),
        ({"type": "order.refunded"}, False),
        ({"since": "2026-11-29T14:00"}, True),
        ({"since": "2026-11-29T14:01"}, False),
        ({"until": "2026-11-29T14:00"}, False),
        ({"until": "2026-11-29T14:01"}, True),
        ({"status": " ", "type": "", "since": "", "until": "", "order": "", "customer": ""}, True),
    ],
)
def test_each_filter_leaves_out_what_it_says(fields: dict[str, str], is_wanted: bool) -> None:
    assert read_filters(fields).want(delivery()) is is_wanted


def test_ids_are_read_as_everywhere() -> None:
    assert read_filters({"order": f" {ORDER.upper()} "}).order_id == ORDER


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"status": "lost"}, "'lost' is no status"),
        ({"order": "7"}, "is not an order's id"),
        ({"customer": "ada"}, "is not a customer's id"),
        ({"since": "yesterday"}, "is not a time"),
        ({"order": ORDER, "customer": ORDER}, "not both"),
    ],
)
def test_what_cannot_be_used_is_named(fields: dict[str, str], problem: str) -> None:
    with pytest.raises(DeskError, match=problem) as refused:
        read_filters(fields)
    assert refused.value.status == 400


def test_filters_survive_a_link() -> None:
    filters = read_filters({"status": "failed", "type": "order.paid", "since": "2026-11-01T10:30"})
    assert read_filters({name: str(value) for name, value in filters.fields.items()}) == filters


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1764400000000:msg-1", Place(at_ms=1764400000000, id="msg-1")),
        ("1764400000000:a:b", Place(at_ms=1764400000000, id="a:b")),
        ("", None),
        ("x:msg-1", None),
        ("-1:msg", None),
        ("9" * 400 + ":msg", None),
        ("\u0661:msg", None),
    ],
)
def test_a_place_that_makes_no_sense_is_the_beginning(text: str, place: Place | None) -> None:
    assert read_place(text) == place
