"""The note of a refund is kept for as long as it may count, and no longer."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from tests.support.builders import ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.fake_service import HUNDRED, NOBODY
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import RETAIN
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
from workers.core.look_back import REDELIVERED_FOR

SUBJECT = order_subject(ORDER)
ODD = rules_of(rule("odd", {"api_usage": "order.net_amount - 5000"}))
FINAL_INVOICE = "order_paid_subscription_cancel_final_invoice"


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with operations_at(redis) as opened:
        opened.rules = HUNDRED
        yield opened


def lifetime(redis: Redis) -> timedelta | None:
    """Return how long the order's hash has left; None if it is kept for ever."""
    assert redis.exists(SUBJECT)
    seconds = redis.ttl(SUBJECT)
    return timedelta(seconds=seconds) if seconds >= 0 else None


def test_the_note_of_a_refund_outlives_whatever_may_still_credit_its_order(
    redis: Redis, operations: Operations
) -> None:
    """Polar's redelivery of its webhook, and then a replay of that."""
    operations.deliver(refund_webhook(300))
    left = lifetime(redis)
    assert left is not None
    assert timedelta(0) <= REDELIVERED_FOR + RETAIN - left < timedelta(minutes=1)


def test_each_delivery_of_the_order_renews_it(redis: Redis, operations: Operations) -> None:
    operations.deliver(refund_webhook(300))
    redis.expire(SUBJECT, 60)
    operations.rules = NOBODY
    assert operations.deliver(order_webhook(), "msg-2") is Status.SKIPPED
    left = lifetime(redis)
    assert left is not None
    assert left > REDELIVERED_FOR


def test_the_hash_of_a_credited_order_never_expires(redis: Redis, operations: Operations) -> None:
    operations.deliver(refund_webhook(300))
    assert operations.deliver(order_webhook(), "msg-2") is Status.GRANTED
    assert lifetime(redis) is None
    operations.deliver(refund_webhook(500), "msg-3")
    assert lifetime(redis) is None


@pytest.mark.parametrize("refund_first", [False, True])
def test_the_note_of_an_order_that_failed_is_kept_until_it_is_replayed(
    redis: Redis, operations: Operations, *, refund_first: bool
) -> None:
    operations.rules = ODD
    bodies = [refund_webhook(300), order_webhook()]
    for number, body in enumerate(bodies if refund_first else reversed(bodies)):
        operations.deliver(body, f"msg-{number}")
    assert lifetime(redis) is None
    operations.rules = NOBODY
    failed = f"msg-{int(refund_first)}"
    operations.granter.run(Lease(deliveries=operations.store.reopen([failed])))
    assert lifetime(redis) is not None


def test_a_dismissal_never_expires(redis: Redis, operations: Operations) -> None:
    operations.rules = ODD
    operations.deliver(refund_webhook(300), "msg-1")
    operations.deliver(order_webhook(), "msg-2")
    operations.store.dismiss(["msg-2"], retain=RETAIN)
    assert lifetime(redis) is None
    operations.deliver(refund_webhook(500), "msg-3")
    assert lifetime(redis) is None


@pytest.mark.parametrize("refund_first", [False, True])
def test_what_a_webhook_showed_the_order_to_be_never_expires(
    redis: Redis, operations: Operations, *, refund_first: bool
) -> None:
    bodies = [refund_webhook(300), order_webhook(FINAL_INVOICE, id=ORDER)]
    for number, body in enumerate(bodies if refund_first else reversed(bodies)):
        operations.deliver(body, f"msg-{number}")
    assert redis.hexists(SUBJECT, "shown")
    assert lifetime(redis) is None
