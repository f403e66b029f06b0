"""Lists that change while they are read: a row may come twice, and none is passed over."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.demo.polar import Polar as Standin
from tests.support.builders import CUSTOMER, some_id
from tests.support.polar_standin import client_of, event, ingest, organization
from workers.core.usage_events import GRANTED_BY
from workers.polar.lists import Listing, events, orders, read_pages, webhook_attempts

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
BEGUN = datetime(2026, 11, 21, tzinfo=UTC)
OURS = {"granted_by": GRANTED_BY}
ORDERS = orders(created_after=SINCE, created_before=BEGUN)
WEBHOOKS = webhook_attempts(
    since=SINCE, before=BEGUN, types=["order.paid", "customer.created"], only_failed=True
)


def test_an_order_refunded_between_two_pages_takes_no_other_out_of_sight() -> None:
    polar = shop(150)
    seen = read_all(polar, ORDERS, meanwhile=lambda: buy(polar, 3, status="refunded"))
    assert seen == [some_id(number) for number in range(150)]


def test_an_order_paid_between_two_pages_lets_one_come_twice_and_none_be_missed() -> None:
    polar = shop(150)
    buy(polar, 3, status="pending")
    seen = read_all(polar, ORDERS, meanwhile=lambda: buy(polar, 3))
    assert set(seen) == {some_id(number) for number in range(150)} - {some_id(3)}
    assert len(seen) == 150


def test_orders_that_come_while_pages_are_read_shift_none() -> None:
    polar = shop(150)
    seen = read_all(polar, ORDERS, meanwhile=lambda: buy(polar, 150))
    assert seen == [some_id(number) for number in range(151)]


def test_failures_that_come_while_pages_are_read_shift_none() -> None:
    polar = Standin()
    for number in range(150):
        fail(polar, number)

    seen = read_all(polar, WEBHOOKS, meanwhile=lambda: fail(polar, 999, at=BEGUN))

    assert seen == [some_id(number) for number in reversed(range(150))]


def test_our_own_events_are_read_back_oldest_first_and_nobody_elses() -> None:
    polar = organization()
    mine = [event(external_id=f"key-{n}", metadata={**OURS, "key": f"key-{n}"}) for n in range(90)]
    ingest(polar, *mine[:60], event(), event(metadata={"granted_by": "another"}))
    ingest(polar, *mine[60:])
    after_all = datetime.now(UTC) + timedelta(minutes=1)

    with client_of(polar) as client:
        found = [
            row
            for page in read_pages(
                lambda number: client.page(events(metadata=OURS, before=after_all), number)
            )
            for row in page.items
        ]

    # Events of one batch have the same time, and no order among them.
    assert sorted(found, key=lambda row: datetime.fromisoformat(row["timestamp"])) == found
    assert {row["metadata"]["key"] for row in found} == {one["metadata"]["key"] for one in mine}
    assert len(found) == len(mine)
    assert not any("external_id" in row for row in found)


def shop(size: int) -> Standin:
    """Return an organization with as many paid orders, a second between each and the next."""
    polar = Standin()
    for number in range(size):
        buy(polar, number)
    return polar


def buy(polar: Standin, number: int, status: str = "paid") -> None:
    created_at = SINCE + timedelta(seconds=1 + number)
    polar.add_order(id=some_id(number), created_at=created_at, status=status, customer_id=CUSTOMER)


def fail(polar: Standin, number: int, at: datetime | None = None) -> None:
    moment = at or SINCE + timedelta(seconds=1 + number)
    polar.add_delivery(some_id(number), b'{"type": "order.paid"}', created_at=moment)


def read_all(polar: Standin, listing: Listing, *, meanwhile: Callable[[], None]) -> list[Any]:
    """Return the ids of all rows of a list, after whose first page something happens."""
    seen: list[Any] = []
    with client_of(polar) as client:
        for page in read_pages(lambda number: client.page(listing, number)):
            if not seen:
                meanwhile()
            seen += [
                row["webhook_event"]["id"] if "webhook_event" in row else row["id"] for row in page.items
            ]
    return seen
