"""Which of the webhooks that Polar failed to deliver never reached us."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.answers import recorded
from tests.support.builders import some_id
from tests.support.recordings import payload
from workers.operations.recover import WebhookScan
from workers.polar.lists import Row
from workers.store.bodies import decompress_body

PAID = payload("order_paid_purchase")


def attempt(number: int = 1, body: bytes = PAID, **event: Any) -> Row:
    """Return a failed attempt to deliver webhook ``number``, as Polar's list has it."""
    row: Row = json.loads(recorded("webhook_deliveries_failed").content)["items"][0]
    told = {"id": some_id(number), "payload": body.decode(), "type": "order.paid"}
    return row | {"webhook_event": row["webhook_event"] | told | event}


def search(*pages: Sequence[Row], known: Collection[str] = ()) -> WebhookScan:
    """Return what is found in these pages where deliveries of these ids have reached us."""
    found = WebhookScan()
    for page in pages:
        found.add(page, lambda ids: {one for one in ids if one in known})
    return found


def test_a_webhook_that_never_reached_us_is_found_with_its_own_id_and_its_very_body() -> None:
    (lost,) = search([attempt()]).oldest_first
    assert (lost.id, lost.type) == (some_id(1), "order.paid")
    assert decompress_body(lost.packed_body) == PAID


def test_what_reached_us_after_all_is_not_lost() -> None:
    found = search([attempt(1), attempt(2), attempt(3, succeeded=True)], known=[some_id(1)])
    assert list(found.lost) == [some_id(2)]


def test_of_many_attempts_with_one_webhook_it_is_found_once_even_over_pages() -> None:
    found = search([attempt(), attempt()], [attempt(), attempt(2)])
    assert list(found.lost) == [some_id(1), some_id(2)]


def test_types_that_lead_to_no_credit_are_passed_over() -> None:
    recordings = json.loads(recorded("webhook_deliveries_failed").content)["items"]
    assert {one["webhook_event"]["type"] for one in recordings} == {"customer.state_changed"}
    found = search(recordings)
    assert (found.lost, found.unusable) == ({}, {})


def test_what_is_kept_of_others_is_in_the_order_in_which_it_happened() -> None:
    days = {1: 9, 2: 7, 3: 8}
    rows = [attempt(n, created_at=datetime(2026, 11, day, tzinfo=UTC)) for n, day in days.items()]
    assert [one.id for one in search(rows).oldest_first] == [some_id(2), some_id(3), some_id(1)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (attempt(payload=None, is_archived=True), "archived"),
        (attempt(body=b'{"blocks": [{"text": "Order paid"}]}'), "not an event"),
        (attempt(body=b"Order paid"), "not an event"),
    ],
)
def test_what_has_no_body_that_can_be_taken_is_named_with_the_reason(row: Row, words: str) -> None:
    found = search([row])
    assert not found.lost
    assert words in found.unusable[some_id(1)]


def test_an_event_whose_data_cannot_be_read_is_taken_as_the_receiver_would_have() -> None:
    body = b'{"type": "order.paid", "data": {}}'
    (lost,) = search([attempt(body=body)]).oldest_first
    assert decompress_body(lost.packed_body) == body


def test_an_id_that_no_webhook_could_have_come_with_is_passed_over() -> None:
    found = search([attempt(id="two\nlines"), attempt(id=""), {"webhook_event": None}, {}])
    assert (found.lost, found.unusable) == ({}, {})


def test_nobody_is_asked_about_nothing() -> None:
    def known(ids: Sequence[str]) -> Collection[str]:
        assert ids
        return ()

    found = WebhookScan()
    found.add([attempt(type="customer.updated")], known)
    found.add([attempt()], known)
    found.add([attempt()], known)
    assert list(found.lost) == [some_id(1)]
