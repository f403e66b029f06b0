"""Each settlement is told once or again, whatever is killed, and never more than the outbox holds."""

from collections.abc import Iterable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.builders import ORDER, order_webhook, some_id
from tests.support.event_receivers import FakeStorefront, let_events_be_due, sender_to
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, sell
from tests.support.real_stores import scores
from tests.support.telling import KEY, STRANGER, count, telling_operations_at, told
from workers.core.delivery import Status
from workers.core.event_names import EventName
from workers.store import keys, outbox
from workers.store.outbox import Outbox, Sending


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


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with telling_operations_at(redis) as opened:
        yield opened


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
