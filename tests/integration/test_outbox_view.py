"""What operators see of the outbox, and how they name an event."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, order_webhook, rule, rules_of, some_id
from tests.support.event_receivers import FakeStorefront, let_events_be_due, sender_to
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import now_ms, scores
from workers.core.event_names import EventName
from workers.core.manual import ManualGrant
from workers.core.outbox_state import EventStatus
from workers.store import keys
from workers.store.outbox import MOST_WAITING
from workers.store.outbox_view import EventRow, OutboxView

REFUSING = FakeStorefront(answer=lambda _event: "answered 500")
STRANGER = some_id(9)


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield operations that tell the storefront."""
    with operations_at(redis) as opened:
        opened.tells_storefront = True
        yield opened


@pytest.fixture
def view(redis: Redis) -> OutboxView:
    return OutboxView(redis)


def key_of(number: int) -> str:
    return f"credits:order:{some_id(number)}:api_usage"


def buy(operations: Operations, number: int) -> None:
    operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")


def shown(row: EventRow) -> tuple[str, EventStatus, int, str]:
    return row.name.id, row.status, row.attempts, row.error


def test_failed_ones_come_first_then_those_that_wait_then_those_that_were_sent(
    operations: Operations, view: OutboxView
) -> None:
    redis = operations.redis
    buy(operations, 1)
    sender_to(redis, FakeStorefront()).send_due()
    for number in (2, 3):
        buy(operations, number)
        sender_to(redis, REFUSING).send_due()
    given_up = f"credits:order:{some_id(2)}\napi_usage"
    redis.hset(keys.CLOCK, "ticked_at", now_ms(redis))  # a worker watches the clock
    redis.zadd(keys.OUTBOX_REFUSED, {given_up: 1})
    redis.zadd(keys.OUTBOX, {given_up: 1})
    sender_to(redis, REFUSING).send_due()
    buy(operations, 4)
    assert list(map(shown, view.failed())) == [
        (key_of(2), EventStatus.GIVEN_UP, 2, "answered 500"),
        (key_of(3), EventStatus.REFUSED, 1, "answered 500"),
    ]
    assert list(map(shown, view.all()))[2:] == [
        (key_of(4), EventStatus.WAITING, 0, ""),
        (key_of(1), EventStatus.SENT, 0, ""),
    ]
    _, refused = view.failed()
    assert refused.refused_since is not None
    assert refused.at > refused.refused_since  # it is when it is sent again


def test_the_state_of_all_is_read_at_once(operations: Operations, view: OutboxView) -> None:
    assert (view.state().waiting, view.state().oldest, view.state().last_sent) == (0, None, None)
    buy(operations, 1)
    (due,) = scores(operations.redis, keys.OUTBOX).values()
    state = view.state()
    assert state.oldest is not None
    assert state.waiting == 1
    assert state.oldest.timestamp() * 1000 == pytest.approx(due)
    sender_to(operations.redis, REFUSING).send_due()
    assert (view.state().error, view.state().oldest is not None) == ("answered 500", True)
    let_events_be_due(operations.redis)
    sender_to(operations.redis, FakeStorefront()).send_due()
    last = view.state().last_sent
    assert last is not None
    assert abs(last.timestamp() * 1000 - now_ms(operations.redis)) < 60_000


def test_pages_are_read_one_after_the_other(operations: Operations, view: OutboxView) -> None:
    members = {f"credits:order:{some_id(number)}\napi_usage": number for number in range(450)}
    operations.redis.zadd(keys.OUTBOX, members)
    assert [row.name.id for row in view.all()] == [key_of(number) for number in range(450)]
    assert len(members) < MOST_WAITING


def test_an_event_is_found_by_its_id_whatever_became_of_it(operations: Operations, view: OutboxView) -> None:
    operations.polar.add_meter("api:usage: big")
    operations.rules = rules_of(rule("pack", {"api_usage": 10}))
    buy(operations, 1)
    operations.deliver(order_webhook(id=some_id(2), customer_id=STRANGER), "msg-2")
    request = ManualGrant(
        key="beta", customer="user", customer_id=CUSTOMER, meter="api:usage: big", property_name="units",
        units=5,
    )  # fmt: skip
    operations.deliver(request.delivery()[2], request.delivery_id)
    sender_to(operations.redis, FakeStorefront()).send_due()
    assert view.find(key_of(1)) == EventName(f"credits:order:{some_id(1)}", "api_usage")
    assert view.find("msg-2:1") == EventName.of_failure("msg-2", 1)
    assert view.find(request.subject) == EventName(request.subject, "api:usage: big")
    for unknown in (key_of(2), key_of(3), "msg-2:2", "msg-2", "", ":", "credits:order:"):
        assert view.find(unknown) is None
