"""The storefront is told of each settlement: whatever it answers, and whatever is killed."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.adjusted_orders import adjust, buy, pack
from tests.support.builders import (
    CUSTOMER,
    METERS,
    ORDER,
    PAID_CENTS,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.event_receivers import FakeStorefront, let_events_be_due, sender_to
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.processes import eventually
from tests.support.real_stores import now_ms, scores
from workers.core.credit_events import CreditEvent
from workers.core.delivery import Status
from workers.core.event_names import EventName
from workers.core.manual import ManualGrant, ManualRevoke
from workers.core.outbox_state import EventStatus
from workers.operations.outbox.sender import EventSender
from workers.store import keys, outbox
from workers.store.outbox import Outbox, Sending
from workers.store.outbox_view import OutboxView


class FailingOnce(Outbox):
    """An outbox whose Redis is away when results are recorded for the first time."""

    has_failed = False

    def record(self, sendings: Iterable[Sending]) -> int:
        """Record; RedisConnectionError the first time that there is something to record."""
        results = list(sendings)
        if results and not self.has_failed:
            self.has_failed = True
            raise RedisConnectionError
        return super().record(results)


KEY = f"credits:order:{ORDER}:api_usage"
REVOCABLE = rules_of(rule("pack", {"api_usage": 10}, on_refund="revoke", on_dispute="revoke"))
_THREE_DAYS_MS = 3 * 86_400_000


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield operations that tell the storefront."""
    with operations_at(redis) as opened:
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        opened.tells_storefront = True
        yield opened


def told(redis: Redis) -> list[dict[str, Any]]:
    """Return what a storefront that takes everything is told now."""
    storefront = FakeStorefront()
    sender_to(redis, storefront).send_due()
    return storefront.told


def count(redis: Redis, name: str) -> float:
    return float(cast(bytes | None, redis.hget(keys.COUNTS, name)) or 0)


def test_a_grant_is_told_once_with_what_the_ledger_says(operations: Operations) -> None:
    assert operations.deliver(order_webhook(id=ORDER)) is Status.GRANTED
    (event,) = told(operations.redis)
    (entry,) = operations.ledger.find(f"credits:order:{ORDER}").claims
    settled_at = entry.settled["api_usage"].isoformat(timespec="milliseconds")
    assert event == {
        "id": KEY,
        "type": "credit.granted",
        "timestamp": settled_at.replace("+00:00", "Z"),
        "data": {
            "key": KEY,
            "customer_id": CUSTOMER,
            "external_customer_id": "usr_00d7ec8bb4",  # of the recorded webhook
            "meter": "api_usage",
            "credits": 10,
            "order_id": ORDER,
            "rules": ["pack"],
            "reason": None,
        },
    }
    assert told(operations.redis) == []
    assert operations.redis.exists(*outbox.OUTBOX_KEYS) == 1  # the list of those that were sent
    assert count(operations.redis, "credit_events_sent credit.granted") == 1


def test_nothing_is_told_where_no_storefront_is_named(operations: Operations) -> None:
    operations.tells_storefront = False
    operations.deliver(order_webhook(id=ORDER))
    operations.rules = rules_of(rule("pack", {"api_usage": "order.nothing"}))
    assert operations.deliver(order_webhook(id=some_id(5)), "msg-2") is Status.FAILED
    assert operations.redis.exists(*outbox.OUTBOX_KEYS) == 0


def test_the_customers_own_id_is_told_wherever_a_stored_body_has_it(operations: Operations) -> None:
    operations.rules = REVOCABLE
    customer = {"id": CUSTOMER, "external_id": "user-17", "email": "x@example.com"}
    operations.deliver(order_webhook(id=ORDER, customer=customer))
    operations.deliver(refund_webhook(300, customer=customer), "msg-2")
    request = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER)  # its own body names no customer
    _, type_, body = request.delivery()
    operations.deliver(body, request.delivery_id)
    assert type_ == "manual.revoke"
    found = {one["id"]: one["data"]["external_customer_id"] for one in told(operations.redis)}
    assert found == {
        KEY: "user-17",
        f"credits:refund:{ORDER}:300:api_usage": "user-17",
        f"credits:revoke:{ORDER}:api_usage": "user-17",
    }


def test_what_is_taken_back_is_told_as_a_positive_number(operations: Operations) -> None:
    operations.rules = REVOCABLE
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(refund_webhook(PAID_CENTS // 2), "msg-2")
    operations.deliver(dispute_webhook(1, PAID_CENTS // 5), "msg-3")
    taken = [one for one in told(operations.redis) if one["id"] != KEY]
    shown = {
        (one["type"], one["data"]["key"], one["data"]["credits"], one["data"]["reason"]) for one in taken
    }
    assert shown == {
        ("credit.taken_back", f"credits:refund:{ORDER}:500:api_usage", 5, "refund"),
        ("credit.taken_back", f"credits:dispute:{some_id(1)}:api_usage", 2, "dispute"),
    }
    assert {one["data"]["order_id"] for one in taken} == {ORDER}


def test_an_adjustment_is_told_by_its_sign(operations: Operations) -> None:
    operations.rules = pack(5)
    buy(operations, 1)
    for units in (50, 20):
        operations.rules = pack(units)
        adjust(operations)
    shown = {(one["type"], one["data"]["credits"], one["data"]["reason"]) for one in told(operations.redis)}
    assert shown == {
        ("credit.granted", 12, None),
        ("credit.granted", 45, "adjust from 5 to 50"),
        ("credit.taken_back", 30, "adjust from 50 to 20"),
    }


def test_a_grant_by_hand_is_told_with_its_reason_and_no_rules(operations: Operations) -> None:
    request = ManualGrant(
        key="beta", customer="m\u00fcller", customer_id=CUSTOMER, meter="api_usage", property_name="units",
        units=5, reason="sorry",
    )  # fmt: skip
    operations.deliver(request.delivery()[2], request.delivery_id)
    (event,) = told(operations.redis)
    assert event["id"] == event["data"]["key"] == request.subject
    assert (event["data"]["rules"], event["data"]["reason"], event["data"]["order_id"]) == ([], "sorry", None)


STRANGER = some_id(9)  # Polar does not know this customer, and refuses every event about them


def test_a_failure_tells_why_and_what_was_not_granted(operations: Operations) -> None:
    assert operations.deliver(order_webhook(id=ORDER, customer_id=STRANGER)) is Status.FAILED
    (event,) = told(operations.redis)
    (failed,) = operations.store.get(["msg-1"])
    assert failed.settled_at is not None
    assert (event["id"], event["type"]) == ("msg-1:1", "credit.failed")
    assert event["timestamp"] == failed.settled_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert event["data"] == {
        "key": KEY,
        "customer_id": STRANGER,
        "external_customer_id": "usr_00d7ec8bb4",
        "meter": "api_usage",
        "credits": 10,
        "order_id": ORDER,
        "rules": ["pack"],
        "reason": failed.reason,
    }


def test_a_failure_before_any_plan_names_no_grant(operations: Operations) -> None:
    operations.rules = rules_of(rule("pack", {"api_usage": "order.nothing"}))
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(b"not even JSON", "msg-2")
    first, second = sorted(told(operations.redis), key=lambda one: str(one["id"]))
    nothing: dict[str, Any] = {"key": None, "meter": None, "credits": None, "rules": []}
    assert first["data"] | nothing == first["data"]
    assert (first["data"]["order_id"], first["data"]["customer_id"]) == (ORDER, CUSTOMER)
    unknown = {"order_id": None, "customer_id": None, "external_customer_id": None}
    assert second["data"] | nothing | unknown == second["data"]
    assert "cannot be read" in second["data"]["reason"]


def test_a_failure_of_several_grants_names_none_of_them(operations: Operations) -> None:
    operations.rules = rules_of(rule("pack", {"api_usage": 10, "images": 5}))
    operations.deliver(order_webhook(id=ORDER, customer_id=STRANGER))
    (event,) = told(operations.redis)
    assert (event["data"]["key"], event["data"]["meter"], event["data"]["order_id"]) == (None, None, ORDER)


def test_each_failure_and_the_credit_after_them_is_told(operations: Operations) -> None:
    body = order_webhook(id=ORDER, customer_id=STRANGER)
    operations.deliver(body)
    operations.deliver(body)  # a replay, before the first failure was told
    operations.polar.add_customer(STRANGER)
    assert operations.deliver(body) is Status.GRANTED
    found = {one["id"]: one for one in told(operations.redis)}
    assert set(found) == {"msg-1:1", "msg-1:2", KEY}
    assert found["msg-1:1"]["data"]["credits"] == 10  # it was not granted then


def test_a_settlement_that_is_written_twice_is_told_once(operations: Operations) -> None:
    body = order_webhook(id=ORDER)
    operations.deliver_but_die_before_settling(body)
    assert told(operations.redis) == []
    operations.deliver(body)
    operations.deliver(body, "msg-2")
    assert [one["id"] for one in told(operations.redis)] == [KEY]


def test_two_senders_share_what_is_due(operations: Operations) -> None:
    for number in range(20):
        operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")
    first, second = Outbox(operations.redis), Outbox(operations.redis)
    leased = [*first.lease(12), *second.lease(12), *first.lease(12)]
    assert len({one.name for one in leased}) == len(leased) == 20


def test_what_a_killed_sender_had_is_sent_by_the_next_when_its_lease_ends(operations: Operations) -> None:
    operations.deliver(order_webhook(id=ORDER))
    assert len(Outbox(operations.redis).lease(1)) == 1
    assert told(operations.redis) == []
    let_events_be_due(operations.redis)
    assert [one["id"] for one in told(operations.redis)] == [KEY]


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


def test_a_full_outbox_gives_up_what_waited_longest(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.store.ledger.MOST_WAITING", 3)
    monkeypatch.setattr("workers.store.ledger.MOST_GIVEN_UP", 2)
    for number in range(7):
        operations.deliver(order_webhook(id=some_id(number)), f"msg-{number}")
    orders = {one["data"]["order_id"] for one in told(operations.redis)}
    assert orders == {some_id(n) for n in (4, 5, 6)}
    kept = list(scores(operations.redis, keys.OUTBOX_GIVEN_UP))
    assert kept == [f"credits:order:{some_id(n)}\napi_usage" for n in (2, 3)]
    assert operations.redis.hlen(keys.OUTBOX_ATTEMPTS) == 2
    assert count(operations.redis, "credit_events_given_up") == 4


def test_only_the_newest_sent_ones_are_remembered(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_SENT", 2)
    for number in range(4):
        operations.deliver(order_webhook(id=some_id(number), customer_id=STRANGER), f"msg-{number}")
        told(operations.redis)
    assert operations.redis.zcard(keys.OUTBOX_SENT) == operations.redis.hlen(keys.OUTBOX_FAILURES) == 2


def test_what_was_sent_can_be_sent_again(operations: Operations) -> None:
    operations.deliver(order_webhook(id=ORDER))
    operations.deliver(order_webhook(id=some_id(1), customer_id=STRANGER), "msg-2")
    first = told(operations.redis)
    storefront = FakeStorefront()
    names = [EventName(f"credits:order:{ORDER}", "api_usage"), EventName.of_failure("msg-2", 1)]
    results = list(sender_to(operations.redis, storefront).resend(names))
    assert [one.error for one in results] == ["", ""]
    assert sorted(storefront.told, key=str) == sorted(first, key=str)


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


def test_a_rebuild_tells_nothing_again(operations: Operations) -> None:
    operations.deliver(sell(operations.polar, 1))
    told(operations.redis)
    operations.redis.flushall()
    rebuild(operations)
    assert operations.ledger.count_grants() == 1
    assert operations.deliver(order_webhook(id=some_id(1)), "msg-2") is Status.SKIPPED
    assert operations.redis.exists(*outbox.OUTBOX_KEYS) == 0


def test_results_that_redis_did_not_take_are_recorded_later(operations: Operations) -> None:
    operations.deliver(order_webhook(id=ORDER))
    storefront = FakeStorefront()
    sender = sender_to(operations.redis, storefront, outbox=FailingOnce(operations.redis))
    with pytest.raises(RedisConnectionError):
        sender.send_due()
    sender.send_due()
    assert storefront.asked == [KEY]
    assert operations.redis.exists(keys.OUTBOX) == 0


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
