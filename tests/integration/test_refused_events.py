"""What the storefront refuses, or cannot be told, is sent again, and given up in the end."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import ORDER, order_webhook, some_id
from tests.support.event_receivers import FakeStorefront, let_events_be_due, sender_to
from tests.support.polar_orders import Operations
from tests.support.processes import eventually
from tests.support.real_stores import now_ms, scores
from tests.support.telling import KEY, count, telling_operations_at, told
from workers.core.credit_events import CreditEvent
from workers.core.event_names import EventName
from workers.core.outbox_state import EventStatus
from workers.operations.outbox.sender import EventSender
from workers.store import keys
from workers.store.outbox_view import OutboxView

_THREE_DAYS_MS = 3 * 86_400_000


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with telling_operations_at(redis) as opened:
        yield opened


def test_a_refused_event_is_sent_again_after_twice_as_long_each_time(operations: Operations) -> None:
    redis = operations.redis
    operations.deliver(order_webhook(id=ORDER))
    refusing = FakeStorefront(answer=lambda _event: "answered 500")
    waits = []
    for _ in range(12):
        sender_to(redis, refusing).send_due()
        (due,) = scores(redis, keys.OUTBOX).values()
        waits.append(round((due - now_ms(redis)) / 1000))
        let_events_be_due(redis)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]
    assert count(redis, "credit_events_refused") == 12
    assert [one["id"] for one in told(redis)] == [KEY]
    assert redis.exists(keys.OUTBOX, keys.OUTBOX_REFUSED, keys.OUTBOX_ATTEMPTS) == 0


def test_after_three_days_of_refusals_an_event_is_given_up(operations: Operations) -> None:
    redis = operations.redis
    operations.deliver(order_webhook(id=ORDER))
    refusing = FakeStorefront(answer=lambda _event: "answered 500")
    sender_to(redis, refusing).send_due()
    for earlier_ms, is_given_up in ((_THREE_DAYS_MS - 60_000, False), (60_000, True)):
        (event,) = scores(redis, keys.OUTBOX_REFUSED)
        redis.zincrby(keys.OUTBOX_REFUSED, -earlier_ms, event)
        redis.hset(keys.CLOCK, "ticked_at", now_ms(redis))  # a worker watches the clock
        let_events_be_due(redis)
        sender_to(redis, refusing).send_due()
        assert (redis.zcard(keys.OUTBOX) == 0, redis.zcard(keys.OUTBOX_GIVEN_UP) == 1) == (
            is_given_up,
            is_given_up,
        )
    assert count(redis, "credit_events_given_up") == 1
    assert told(redis) == []


def test_one_that_is_never_taken_holds_back_no_other(operations: Operations) -> None:
    for number in range(100):
        operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")
    unwanted = f"credits:order:{some_id(3)}:api_usage"
    storefront = FakeStorefront(answer=lambda event: "answered 400" if event.id == unwanted else "")
    sender_to(operations.redis, storefront).send_due()
    assert len(storefront.told) == 99


def test_a_storefront_that_refuses_everything_is_asked_seldom(operations: Operations) -> None:
    for number in range(100):
        operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")
    storefront = FakeStorefront(answer=lambda _event: "answered 503")
    sender = sender_to(operations.redis, storefront)
    sender.send_due()
    assert len(storefront.asked) <= 32
    sender.send_due()
    asked = len(storefront.asked)
    storefront.answer = lambda _event: ""
    eventually(lambda: asked < _asked_after(sender, storefront))
    let_events_be_due(operations.redis)
    sender.send_due()
    assert len({one["id"] for one in storefront.told}) == 100


def _asked_after(sender: EventSender, storefront: FakeStorefront) -> int:
    sender.send_due()
    return len(storefront.asked)


def test_a_resent_event_that_is_refused_waits_like_a_new_one(operations: Operations) -> None:
    operations.deliver(order_webhook(id=ORDER))
    told(operations.redis)
    storefront = FakeStorefront(answer=lambda _event: "answered 500")
    (result,) = sender_to(operations.redis, storefront).resend(
        [EventName(f"credits:order:{ORDER}", "api_usage")]
    )
    assert (result.error, result.after_seconds) == ("answered 500", 5.0)
    assert operations.redis.zcard(keys.OUTBOX_SENT) == 0
    let_events_be_due(operations.redis)
    assert [one["id"] for one in told(operations.redis)] == [KEY]


def test_an_event_whose_grant_is_gone_is_given_up_at_once(operations: Operations) -> None:
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(order_webhook(id=some_id(1)), "msg-2")
    operations.redis.delete(f"credits:order:{ORDER}")
    assert [one["data"]["order_id"] for one in told(operations.redis)] == [some_id(1)]
    assert operations.redis.hvals(keys.OUTBOX_ATTEMPTS) == [b"1 the ledger does not have this grant any more"]


def test_a_fault_at_one_event_holds_back_no_other(operations: Operations) -> None:
    for number in range(20):
        operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")

    def fails_at_one(event: CreditEvent) -> str:
        if some_id(3) in event.id:
            raise ValueError("520 is not a valid HTTPStatus")
        return ""

    operations.redis.hset(f"credits:order:{some_id(5)}", "claimed_at", "damaged")
    storefront = FakeStorefront(answer=fails_at_one)
    sender_to(operations.redis, storefront).send_due()
    orders = {one["data"]["order_id"] for one in storefront.told}
    assert orders == {some_id(number) for number in range(20)} - {some_id(3), some_id(5)}
    shown = {one.name.subject: (one.status, one.error) for one in OutboxView(operations.redis).failed()}
    assert shown == {
        f"credits:order:{some_id(3)}": (EventStatus.REFUSED, "it cannot be sent: ValueError"),
        f"credits:order:{some_id(5)}": (EventStatus.GIVEN_UP, "it cannot be written: ValueError"),
    }
